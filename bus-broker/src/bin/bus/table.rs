//! Tables without borders, and lists of key and value.

use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::show::printable;

/// A table: the first column is aligned to the left, and all others as `right` says.
pub fn table(header: &[&str], right: &[bool], rows: Vec<Vec<String>>) -> String {
    let mut table = bare();
    table.set_header(header.iter().copied());
    for row in rows {
        // A cell is never more than a part of one line.
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for (column, right) in table.column_iter_mut().zip(right) {
        column.set_padding((0, 2));
        if *right {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    trimmed(&table)
}

/// Keys and values, one pair a line.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let mut table = bare();
    for (key, value) in rows {
        table.add_row([*key, value.as_str()]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    trimmed(&table)
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    // Lines are for grep and cut: they are never broken to fit a terminal.
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}
