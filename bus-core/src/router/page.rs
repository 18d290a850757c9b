//! How much stands on one page of a listing: as much as keeps the thread that routes busy for a moment, whatever is
//! listed.
//!
//! Whoever lists a great deal asks page by page, and others have their turn between. Invariant: a page gets on, by at least
//! what it looks at first, whatever that costs; it may have no row and still be followed by pages that have.

use crate::limits::LISTING_ROWS_MAX;

/// What a row costs at the least, where looking at a name costs one.
pub(super) const ROW_COST: usize = 16;
/// What a page may cost.
const COST_MAX: usize = LISTING_ROWS_MAX * ROW_COST;
/// Places with nothing in them that are passed for what looking at a name costs.
const EMPTY_PER_COST: usize = 8;

/// What it costs to find nothing at this place.
pub(super) fn cost_of_none(place: usize) -> usize {
    usize::from(place.is_multiple_of(EMPTY_PER_COST))
}

/// What a page has cost so far.
#[derive(Debug, Default)]
pub(super) struct Page {
    cost: usize,
}

impl Page {
    /// Whether there is room for what costs so much: then it is on the page. There always is for the first.
    pub fn takes(&mut self, cost: usize) -> bool {
        let takes = self.cost == 0 || self.cost + cost <= COST_MAX;
        self.cost += if takes { cost } else { 0 };
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_full_sooner_of_what_costs_more_and_never_empty() {
        let rows = |cost: usize| {
            let mut page = Page::default();
            (0..10 * LISTING_ROWS_MAX).take_while(|_| page.takes(cost)).count()
        };
        assert_eq!(rows(ROW_COST), LISTING_ROWS_MAX);
        assert_eq!(rows(4 * ROW_COST), LISTING_ROWS_MAX / 4);
        assert_eq!(rows(2 * COST_MAX), 1);
    }
}
