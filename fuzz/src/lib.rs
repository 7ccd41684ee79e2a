//! Fuzz targets for every decoder, and a driver for stable Rust.
