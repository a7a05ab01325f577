//! `pyrt._core`: the core for Python. What it may do is in `pyrt/_core.pyi`.
//!
//! Nothing here changes process-wide state, and every wait releases the GIL: a threaded program can use it all.

mod archives;
mod cgroup;
mod error;
mod exec;
mod json;
mod meter;
mod monitor;
mod network;
mod number;
mod watch;
mod worker;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("RUNTIME_NAME", "pyrt-runtime")?;
    module.add("NETWORK_NAME", "pyrt-network")?;
    module.add("CoreError", module.py().get_type::<error::CoreError>())?;
    module.add_class::<monitor::Lead>()?;
    module.add_class::<monitor::Control>()?;
    module.add_class::<meter::Meter>()?;
    module.add_class::<watch::Watch>()?;
    module.add_function(wrap_pyfunction!(json::loads, module)?)?;
    module.add_function(wrap_pyfunction!(json::dumps, module)?)?;
    module.add_function(wrap_pyfunction!(archives::digest_of, module)?)?;
    module.add_function(wrap_pyfunction!(monitor::launch, module)?)?;
    module.add_function(wrap_pyfunction!(monitor::connect, module)?)?;
    module.add_function(wrap_pyfunction!(monitor::validate, module)?)?;
    module.add_function(wrap_pyfunction!(network::start_node, module)?)?;
    module.add_function(wrap_pyfunction!(monitor::is_locked, module)?)?;
    module.add_function(wrap_pyfunction!(watch::wait_unlocked, module)?)?;
    module.add_function(wrap_pyfunction!(exec::exec, module)?)?;
    module.add_function(wrap_pyfunction!(number::init_pid, module)?)?;
    module.add_function(wrap_pyfunction!(worker::read_in_root, module)?)?;
    module.add_function(wrap_pyfunction!(worker::unpack, module)?)?;
    module.add_function(wrap_pyfunction!(worker::shift_tree, module)?)?;
    module.add_function(wrap_pyfunction!(worker::share_layers, module)?)?;
    module.add_function(wrap_pyfunction!(worker::sync, module)?)?;
    module.add_function(wrap_pyfunction!(worker::probe_sharing, module)?)?;
    module.add_function(wrap_pyfunction!(worker::chown_tree, module)?)?;
    module.add_function(wrap_pyfunction!(worker::remove_tree, module)?)?;
    module.add_function(wrap_pyfunction!(worker::user_namespace, module)?)?;
    module.add_function(wrap_pyfunction!(worker::append_lines, module)?)?;
    module.add_function(wrap_pyfunction!(network::ensure_networks, module)?)?;
    module.add_function(wrap_pyfunction!(network::dial, module)?)?;
    module.add_function(wrap_pyfunction!(network::reload_networks, module)?)?;
    module.add_function(wrap_pyfunction!(cgroup::set_frozen, module)?)?;
    module.add_function(wrap_pyfunction!(cgroup::update_limits, module)?)?;
    module.add_function(wrap_pyfunction!(cgroup::manager_cgroup, module)?)?;
    module.add_function(wrap_pyfunction!(cgroup::make_cgroup, module)?)?;
    module.add_function(wrap_pyfunction!(cgroup::remove_cgroup, module)?)?;
    module.add_function(wrap_pyfunction!(archives::measure_tree, module)?)?;
    module.add_function(wrap_pyfunction!(archives::compare, module)?)?;
    module.add_function(wrap_pyfunction!(archives::find_path, module)?)?;
    module.add_function(wrap_pyfunction!(archives::pack_path, module)?)?;
    module.add_function(wrap_pyfunction!(archives::fill_volume, module)?)?;
    module.add_function(wrap_pyfunction!(archives::unpack_into, module)?)?;
    module.add_function(wrap_pyfunction!(archives::pack_layer, module)?)?;
    module.add_function(wrap_pyfunction!(archives::compress_layer, module)?)?;
    module.add_function(wrap_pyfunction!(archives::decompress, module)?)?;
    Ok(())
}
