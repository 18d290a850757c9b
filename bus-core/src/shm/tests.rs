//! Lanes tested: single rings, random operations beside a model, threads, hostile writers,
//! regions as peers hand them over, and what the model checker explores under
//! `--cfg busbar_loom`.

#[cfg(all(not(busbar_loom), not(miri)))]
mod grants;
#[cfg(not(busbar_loom))]
mod hostile;
#[cfg(busbar_loom)]
mod models;
#[cfg(not(busbar_loom))]
mod readings;
#[cfg(all(not(busbar_loom), not(miri)))]
mod regions;
#[cfg(not(busbar_loom))]
mod rings;
#[cfg(not(busbar_loom))]
mod steps;
#[cfg(not(busbar_loom))]
mod threads;
#[cfg(not(busbar_loom))]
mod world;
