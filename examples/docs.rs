//! The Rust code in the pages of `docs/`, so that it is compiled and run with the tests. Nothing else is here.

#[doc = include_str!("../docs/migration.md")]
#[cfg(doctest)]
pub struct Migration;

#[doc = include_str!("../docs/guide.md")]
#[cfg(doctest)]
pub struct Guide;
