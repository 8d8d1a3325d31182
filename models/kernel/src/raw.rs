//! All of the crate's `unsafe` code: what borrows from Python, and what depends on the processor.
//!
//! The rules that make it sound:
//!
//! * A function compiled for a processor feature is called only after `Simd::detect` found that feature.
//! * `Frozen` reads a buffer that its owner exported as read-only. Python keeps the memory in place while the export
//!   lives, and whoever made the array promised not to write to it (`models/native.py` copies what is writeable).
//! * `text_of` borrows the characters of a Python string. Strings never change, and the caller holds a reference.
//! * `prefetch` takes any address: the processor drops requests that it cannot serve.

#![allow(unsafe_code, reason = "the one module that may: see above")]

use crate::score::{accumulate, probabilities};
use crate::text::ascii_words;

/// Which instructions the processor has; chosen once per kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Simd {
    /// What every processor can do.
    pub const PORTABLE: Self = Self(Level::Portable);

    /// All that this processor can do, the best one first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi2")
            {
                found.push(Self(Level::Avx512));
            }
            if avx2 {
                found.push(Self(Level::Avx2));
            }
        }
        found.push(Self::PORTABLE);
        found
    }

    /// The best that this processor can do.
    #[must_use]
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// "avx512", "avx2" or "portable".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }
}

/// Compile one function for each level and choose at run time. The function itself is portable and inlined into each.
macro_rules! for_each_level {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $body:expr) => {
        $(#[$doc])*
        pub(crate) fn $name(simd: Simd, $($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
            fn avx2($($argument: $type),*) $(-> $result)? { $body }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($argument: $type),*) $(-> $result)? { $body }

            match simd.0 {
                Level::Portable => $body,
                // SAFETY: a `Simd` of this level exists only where its features were detected.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    };
}

for_each_level! {
    /// `text::ascii_words` over bytes.
    ascii_words_1(units: &[u8], fold: bool, codes: &mut [u8]) -> bool = ascii_words(units, fold, codes)
}
for_each_level! {
    /// `text::ascii_words` over 16-bit units.
    ascii_words_2(units: &[u16], fold: bool, codes: &mut [u8]) -> bool = ascii_words(units, fold, codes)
}
for_each_level! {
    /// `text::ascii_words` over 32-bit units.
    ascii_words_4(units: &[u32], fold: bool, codes: &mut [u8]) -> bool = ascii_words(units, fold, codes)
}
for_each_level! {
    /// See `score::accumulate`.
    accumulate_rows(weights: &[f32], rows: &[u32], values: &[f32], sums: &mut [f64]) =
        accumulate(weights, rows, values, sums)
}
for_each_level! {
    /// See `score::probabilities`.
    calibrate(decisions: &[f32], slope: &[f64], intercept: &[f64], out: &mut [f32]) =
        probabilities(decisions, slope, intercept, out)
}

/// Append to `bounds` where words begin and end in `codes`, in turn. The last code is a separator.
pub(crate) fn boundaries(simd: Simd, codes: &[u8], bounds: &mut Vec<u32>) {
    match simd.0 {
        Level::Portable => crate::bounds::portable(codes, bounds),
        // SAFETY: a `Simd` of this level exists only where its features were detected.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::boundaries_avx2(codes, bounds) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::boundaries_avx512(codes, bounds) },
    }
}

/// Ask for the cache line at `items[index]`, if there is one.
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching touches no memory in the sense of the language, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(items.as_ptr().wrapping_add(index).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, index);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_setzero_si256,
        _mm512_add_epi32, _mm512_castsi512_si128, _mm512_cvtepu8_epi32, _mm512_extracti32x4_epi32, _mm512_loadu_epi8,
        _mm512_maskz_compress_epi8, _mm512_set1_epi32, _mm512_storeu_epi32, _mm512_test_epi8_mask,
    };

    use crate::bounds::{BLOCK, Edges};

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn boundaries_avx2(codes: &[u8], bounds: &mut Vec<u32>) {
        let mut edges = Edges::default();
        let (blocks, rest) = codes.as_chunks::<BLOCK>();
        for block in blocks {
            edges.push(words_avx2(block), bounds);
        }
        edges.push(crate::bounds::words_in(rest), bounds);
    }

    /// One bit per code: whether it belongs to a word.
    #[expect(clippy::cast_ptr_alignment, reason = "the load needs no alignment")]
    #[target_feature(enable = "avx2")]
    fn words_avx2(block: &[u8; BLOCK]) -> u64 {
        let half = |start: usize| {
            // SAFETY: 32 bytes from 0 or 32 lie within the 64 of the block; the load needs no alignment.
            let bytes = unsafe { _mm256_loadu_si256(block.as_ptr().add(start).cast::<__m256i>()) };
            let separators = _mm256_cmpeq_epi8(bytes, _mm256_setzero_si256());
            u64::from(!_mm256_movemask_epi8(separators).cast_unsigned())
        };
        half(0) | half(32) << 32
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2")]
    pub(super) fn boundaries_avx512(codes: &[u8], bounds: &mut Vec<u32>) {
        const POSITIONS: [u8; BLOCK] = {
            let mut positions = [0; BLOCK];
            let mut at = 0;
            while at < BLOCK {
                positions[at] = at as u8;
                at += 1;
            }
            positions
        };
        let mut edges = Edges::default();
        let (blocks, rest) = codes.as_chunks::<BLOCK>();
        // SAFETY: the array has the 64 bytes that are loaded.
        let positions = unsafe { _mm512_loadu_epi8(POSITIONS.as_ptr().cast()) };
        for block in blocks {
            // SAFETY: the block has the 64 bytes that are loaded.
            let bytes = unsafe { _mm512_loadu_epi8(block.as_ptr().cast()) };
            let (changes, base) = edges.next(_mm512_test_epi8_mask(bytes, bytes));
            let packed = _mm512_maskz_compress_epi8(changes, positions);
            let count = changes.count_ones() as usize;
            bounds.reserve(BLOCK);
            let length = bounds.len();
            let base = _mm512_set1_epi32(base.cast_signed());
            let quarters: [__m128i; 4] = [
                _mm512_castsi512_si128(packed),
                _mm512_extracti32x4_epi32::<1>(packed),
                _mm512_extracti32x4_epi32::<2>(packed),
                _mm512_extracti32x4_epi32::<3>(packed),
            ];
            for (number, quarter) in quarters.into_iter().enumerate() {
                if number * 16 < count || number == 0 {
                    let wide = _mm512_add_epi32(_mm512_cvtepu8_epi32(quarter), base);
                    // SAFETY: 64 numbers were reserved behind `length`, and this writes 16 of them from `number` * 16 on.
                    unsafe {
                        _mm512_storeu_epi32(bounds.as_mut_ptr().add(length + number * 16).cast(), wide);
                    }
                }
            }
            // SAFETY: `count` numbers, at most 64, were written above.
            unsafe { bounds.set_len(length + count) };
        }
        edges.push(crate::bounds::words_in(rest), bounds);
    }
}

#[cfg(feature = "python")]
pub(crate) use python::{Frozen, text_of};

#[cfg(feature = "python")]
mod python {
    use pyo3::buffer::{Element, PyBuffer};
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use pyo3::types::PyString;
    use pyo3::types::string::PyStringData;

    use crate::text::Text;

    /// A read-only array that Python owns.
    pub(crate) struct Frozen<T: Element>(PyBuffer<T>);

    impl<T: Element> Frozen<T> {
        pub(crate) fn get(array: &Bound<'_, PyAny>) -> PyResult<Self> {
            let buffer = PyBuffer::get(array)?;
            if buffer.readonly() && buffer.is_c_contiguous() {
                Ok(Self(buffer))
            } else {
                Err(PyValueError::new_err("the kernel takes read-only arrays in C order"))
            }
        }

        pub(crate) fn as_slice(&self) -> &[T] {
            match self.0.item_count() {
                0 => &[],
                // SAFETY: the export has that many items, aligned and in C order (`PyBuffer::get` and `get` above
                // checked it), nobody writes to them, and they stay in place as long as `self.0` lives.
                count => unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast::<T>(), count) },
            }
        }
    }

    /// The characters of a Python string, which must outlive what is returned (the lifetime says so).
    pub(crate) fn text_of<'a>(string: &'a Bound<'_, PyString>) -> PyResult<Text<'a>> {
        // SAFETY: the string is kept alive by `string`, and strings never change.
        Ok(match unsafe { string.data() }? {
            PyStringData::Ucs1(units) => Text::Latin1(units),
            PyStringData::Ucs2(units) => Text::Ucs2(units),
            PyStringData::Ucs4(units) => Text::Ucs4(units),
        })
    }
}
