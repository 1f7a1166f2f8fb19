//! Empty: lets cargo track this package as a dependency of the daemon, whose
//! build script compiles the programs in `main.rs`.
#![no_std]
