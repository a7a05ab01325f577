//! `pyrt._core`.
