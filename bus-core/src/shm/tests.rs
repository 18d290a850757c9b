//! Lanes tested: single rings, regions as peers hand them over, and what the model checker
//! explores under `--cfg busbar_loom`.

#[cfg(busbar_loom)]
mod models;
#[cfg(not(busbar_loom))]
mod regions;
#[cfg(not(busbar_loom))]
mod rings;
