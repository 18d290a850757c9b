//! The bus against each rival: one line for each of its contenders in each cell, one column for
//! each rival.
//!
//! The same ratios as elsewhere: of first figures, made within a round where both ran side by side,
//! and the median of those. There is no such table where no rival was brought along.

use serde::Serialize;

use super::number::ranged;
use super::summary::{Ratio, counting, ratio};
use crate::cli::Plan;
use crate::rounds::{Record, Run};

/// What the bus's contenders are called.
const BUS_PREFIX: &str = "bus-";

/// One contender of the bus in one cell.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The cell's name.
    pub cell: String,
    /// What is compared, with its unit; of times less is better, of rates more.
    pub figure: String,
    /// The bus's contender.
    pub contender: String,
    /// Against each rival that ran, in their order.
    pub ratios: Vec<Ratio>,
}

/// All comparisons that the record allows.
pub fn comparisons(plan: &Plan, record: &Record) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for cell in plan.work.iter().flat_map(|(_, cells)| cells) {
        let id = cell.id();
        let of_contender = |name: &str| -> Vec<&Run> {
            let runs = record.runs.iter();
            runs.filter(|run| run.cell == id && run.contender == name).collect()
        };
        for contender in plan.contenders.iter().map(|contender| contender.name()) {
            let runs = of_contender(contender);
            let runs = counting(&runs);
            let figure = runs.first().and_then(|run| run.figures.first());
            let Some(figure) = figure.filter(|_| contender.starts_with(BUS_PREFIX)) else {
                continue;
            };
            let against = |rival: &String| ratio(rival, &runs, &of_contender(rival));
            let ratios: Vec<Ratio> = plan.rivals.iter().filter_map(against).collect();
            if !ratios.is_empty() {
                comparisons.push(Comparison {
                    cell: id.clone(),
                    figure: format!("{} {}", figure.name, figure.unit),
                    contender: contender.to_owned(),
                    ratios,
                });
            }
        }
    }
    comparisons
}

/// The lines of the table, the header first; none if there is nothing to compare.
pub fn lines(comparisons: &[Comparison]) -> Vec<Vec<String>> {
    let mut rivals: Vec<&str> = Vec::new();
    for ratio in comparisons.iter().flat_map(|comparison| &comparison.ratios) {
        if !rivals.contains(&ratio.baseline.as_str()) {
            rivals.push(&ratio.baseline);
        }
    }
    if rivals.is_empty() {
        return Vec::new();
    }
    let mut header = vec!["cell, figure".to_owned(), "contender".to_owned()];
    header.extend(rivals.iter().map(|rival| format!("/ {rival}")));
    let mut lines = vec![header];
    let mut cell_before = "";
    for comparison in comparisons {
        let Comparison { cell, figure, contender, ratios } = comparison;
        let title = match cell == cell_before {
            true => String::new(),
            false => format!("{cell}, {figure}"),
        };
        cell_before = cell;
        let mut line = vec![title, contender.clone()];
        line.extend(rivals.iter().map(|rival| {
            let ratio = ratios.iter().find(|ratio| ratio.baseline == *rival);
            let shown = |ratio: &Ratio| ranged(&ratio.spread, |value| format!("{value:.2}"));
            ratio.map_or("-".to_owned(), shown)
        }));
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Spread;

    fn comparison(cell: &str, contender: &str, ratios: &[(&str, f64)]) -> Comparison {
        let ratios = ratios.iter().map(|&(rival, value)| Ratio {
            baseline: rival.to_owned(),
            spread: Spread { median: value, low: value, high: value },
        });
        Comparison {
            cell: cell.to_owned(),
            figure: "p50 us".to_owned(),
            contender: contender.to_owned(),
            ratios: ratios.collect(),
        }
    }

    #[test]
    fn each_rival_has_a_column_and_a_missing_ratio_a_dash() {
        let lines = lines(&[
            comparison("a", "bus-one", &[("nats", 2.0)]),
            comparison("a", "bus-two", &[("nats", 3.0), ("redis", 0.25)]),
        ]);
        let expected = [
            ["cell, figure", "contender", "/ nats", "/ redis"],
            ["a, p50 us", "bus-one", "2.00", "-"],
            ["", "bus-two", "3.00", "0.25"],
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn without_a_rival_there_is_no_table() {
        assert!(lines(&[]).is_empty());
    }
}
