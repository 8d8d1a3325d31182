//! The Python module `models._kernel`: it converts, releases the interpreter, calls, and maps errors.

use pyo3::prelude::*;

/// The native scorer; see `models/native.py`, its only caller.
#[pymodule(gil_used = false)]
mod _kernel {
    use pyo3::buffer::PyBuffer;
    use pyo3::exceptions::{PyTypeError, PyValueError};
    use pyo3::prelude::*;
    use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

    use crate::raw::{Frozen, Simd, text_of};
    use crate::{Analyzer, Arrays, Invalid, Norm, Ranking, Scores, Settings, Text};

    /// Texts of so few characters in all are scored (in some 20 us at most) without giving the interpreter away.
    ///
    /// To give it away wakes a thread that waits for it, which costs more than it can do in that time. DECISIONS.md has
    /// the measurement.
    const HELD_CHARACTERS: usize = 10_000;

    impl From<Invalid> for PyErr {
        fn from(error: Invalid) -> Self {
            PyValueError::new_err(error.to_string())
        }
    }

    /// `models.kernel_settings.KernelSettings`, attribute by attribute.
    #[derive(FromPyObject)]
    struct KernelSettings {
        analyzer: String,
        min_n: usize,
        max_n: usize,
        min_chars: usize,
        max_chars: usize,
        lowercase: bool,
        stop_words: Vec<String>,
        sublinear_tf: bool,
        binary: bool,
        norm: Option<String>,
    }

    impl TryFrom<KernelSettings> for Settings {
        type Error = PyErr;

        fn try_from(settings: KernelSettings) -> PyResult<Self> {
            Ok(Self {
                analyzer: match settings.analyzer.as_str() {
                    "word" => Analyzer::Word,
                    "char" => Analyzer::Char,
                    "char_wb" => Analyzer::CharWb,
                    _ => return Err(PyValueError::new_err("there is no such analyzer")),
                },
                min_n: settings.min_n,
                max_n: settings.max_n,
                min_chars: settings.min_chars,
                max_chars: settings.max_chars,
                lowercase: settings.lowercase,
                stop_words: settings.stop_words,
                sublinear_tf: settings.sublinear_tf,
                binary: settings.binary,
                norm: match settings.norm.as_deref() {
                    None => Norm::None,
                    Some("l1") => Norm::L1,
                    Some("l2") => Norm::L2,
                    Some(_) => return Err(PyValueError::new_err("there is no such norm")),
                },
            })
        }
    }

    /// The lookup index of `terms` (in row order), as the little-endian bytes of 64-bit numbers.
    #[pyfunction]
    #[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn build_index(py: Python<'_>, settings: KernelSettings, terms: Vec<String>) -> PyResult<Bound<'_, PyBytes>> {
        let settings = Settings::try_from(settings)?;
        let index = py.detach(|| {
            let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
            crate::build_index(&settings, &terms)
        });
        Ok(PyBytes::new(py, bytemuck::cast_slice(&index?)))
    }

    /// A model that is ready to score. Threads may share it.
    #[pyclass(frozen)]
    struct Kernel {
        kernel: crate::Kernel,
        index: Frozen<u64>,
        idf: Option<Frozen<f32>>,
        weights: Frozen<f32>,
        intercept: Frozen<f32>,
    }

    impl Kernel {
        fn arrays(&self) -> Arrays<'_> {
            arrays_of(&self.index, self.idf.as_ref(), &self.weights, &self.intercept)
        }

        fn score_texts(&self, py: Python<'_>, texts: &[Text<'_>]) -> Scores {
            let score = || self.kernel.score(self.arrays(), texts);
            let short = texts.iter().map(Text::len).sum::<usize>() <= HELD_CHARACTERS;
            if short { score() } else { py.detach(score) }
        }
    }

    fn arrays_of<'a>(
        index: &'a Frozen<u64>,
        idf: Option<&'a Frozen<f32>>,
        weights: &'a Frozen<f32>,
        intercept: &'a Frozen<f32>,
    ) -> Arrays<'a> {
        Arrays {
            index: index.as_slice(),
            idf: idf.map(Frozen::as_slice).unwrap_or_default(),
            weights: weights.as_slice(),
            intercept: intercept.as_slice(),
        }
    }

    #[pymethods]
    impl Kernel {
        #[new]
        #[pyo3(signature = (settings, *, characters, index, idf, weights, intercept, slope, offset, portable = false))]
        #[expect(clippy::too_many_arguments, reason = "one per array of a model, all named")]
        fn new(
            settings: KernelSettings,
            characters: &Bound<'_, PyAny>,
            index: &Bound<'_, PyAny>,
            idf: Option<&Bound<'_, PyAny>>,
            weights: &Bound<'_, PyAny>,
            intercept: &Bound<'_, PyAny>,
            slope: Vec<f64>,
            offset: Vec<f64>,
            portable: bool,
        ) -> PyResult<Self> {
            let settings = Settings::try_from(settings)?;
            let index = Frozen::get(index)?;
            let idf = idf.map(Frozen::get).transpose()?;
            let weights = Frozen::get(weights)?;
            let intercept = Frozen::get(intercept)?;
            let characters = Frozen::<u32>::get(characters)?;
            let simd = if portable { Simd::PORTABLE } else { Simd::detect() };
            let arrays = arrays_of(&index, idf.as_ref(), &weights, &intercept);
            let kernel = crate::Kernel::new(settings, characters.as_slice(), arrays, slope, offset, simd)?;
            Ok(Self { kernel, index, idf, weights, intercept })
        }

        /// Which instructions it uses: "avx512", "avx2" or "portable".
        #[getter]
        fn simd(&self) -> &'static str {
            self.kernel.simd().name()
        }

        /// Score one text, and rank the classes: `models.ranking.rank`, with `names` in column order.
        ///
        /// None where the text has no term.
        #[expect(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
        fn predict<'py>(
            &self,
            py: Python<'py>,
            text: &Bound<'py, PyString>,
            names: &Bound<'py, PyTuple>,
            thresholds: Vec<f32>,
            best: bool,
        ) -> PyResult<Option<(Bound<'py, PyTuple>, Bound<'py, PyTuple>)>> {
            if names.len() != self.kernel.classes() || thresholds.len() != names.len() {
                return Err(PyValueError::new_err("there must be one name and one threshold per class"));
            }
            let scores = self.score_texts(py, &[text_of(text)?]);
            if scores.known != [1] {
                return Ok(None);
            }
            let ranking = Ranking::new(&scores.probabilities, &thresholds, best);
            let labels = ranking.labels().map(|column| names.get_item(column)).collect::<PyResult<Vec<_>>>()?;
            let classes = ranking
                .classes()
                .map(|(column, probability)| (names.get_item(column)?, probability).into_pyobject(py))
                .collect::<PyResult<Vec<_>>>()?;
            Ok(Some((PyTuple::new(py, labels)?, PyTuple::new(py, classes)?)))
        }

        /// Score `texts` into arrays of shape (texts, classes), (texts, classes) and (texts,).
        fn score(
            &self,
            py: Python<'_>,
            texts: &Bound<'_, PyList>,
            decisions: &Bound<'_, PyAny>,
            probabilities: &Bound<'_, PyAny>,
            known: &Bound<'_, PyAny>,
        ) -> PyResult<()> {
            let strings = texts.iter().map(into_string).collect::<PyResult<Vec<_>>>()?;
            let borrowed = strings.iter().map(text_of).collect::<PyResult<Vec<_>>>()?;
            let scores = self.score_texts(py, &borrowed);
            PyBuffer::get(decisions)?.copy_from_slice(py, &scores.decisions)?;
            PyBuffer::get(probabilities)?.copy_from_slice(py, &scores.probabilities)?;
            PyBuffer::get(known)?.copy_from_slice(py, &scores.known)
        }
    }

    fn into_string(text: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyString>> {
        text.cast_into::<PyString>().map_err(|error| {
            let name = error.into_inner().get_type().name();
            PyTypeError::new_err(format!("score() takes texts, not {}.", name.map_or("that".into(), |n| n.to_string())))
        })
    }
}
