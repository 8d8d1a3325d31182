//! The Python module `models._kernel`.

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _kernel {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
