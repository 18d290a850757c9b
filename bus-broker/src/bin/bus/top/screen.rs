//! The picture of `bus top`, and what keys do to it. Knows neither a broker nor a terminal.
//!
//! Invariant: whatever the size, drawing does not fail; at 80 by 24 every column of a pane is there. While a row
//! is marked, the reason of the first one from where it is scrolled to stands below.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row as TableRow, Table, Wrap};

use super::model::{self, Figure, Kind, Look, Pane, Row};
use crate::value::show_bytes;

const HELP: &str = "tab pane  s sort  r reverse  / filter  up/down scroll  q quit";
/// Columns of a figure.
const FIGURE_WIDTH: u16 = 9;
/// Lines of a reason.
const REASON_LINES_MAX: usize = 3;

/// What is shown, and how.
#[derive(Default)]
pub struct Screen {
    before: Option<Look>,
    now: Look,
    pane: usize,
    sort: [usize; 4],
    turned: bool,
    filter: String,
    typing: bool,
    skip: usize,
    /// What went wrong last.
    pub trouble: String,
    /// Why what is shown is old, and since when; `None` while the broker answers.
    pub gone: Option<String>,
}

/// What a key asks for beyond the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing but the picture.
    Draw,
    /// The end.
    Quit,
}

impl Screen {
    /// With this pane first, and only names that contain the filter.
    pub fn new(filter: String) -> Screen {
        Screen { sort: [1; 4], filter, ..Screen::default() }
    }

    /// One more look.
    pub fn take(&mut self, look: Look) {
        self.before = Some(std::mem::replace(&mut self.now, look)).filter(|look| look.at_us > 0);
        self.trouble.clear();
    }

    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent) -> Wish {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Wish::Quit,
            KeyCode::Esc if self.typing || !self.filter.is_empty() => {
                (self.typing, self.skip) = (false, 0);
                self.filter.clear();
            }
            KeyCode::Enter => self.typing = false,
            KeyCode::Backspace if self.typing => {
                self.filter.pop();
            }
            KeyCode::Char(character) if self.typing => self.filter.push(character),
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Char('/') => (self.typing, self.skip) = (true, 0),
            KeyCode::Char('r') => self.turned = !self.turned,
            KeyCode::Char('s') => {
                let columns = Pane::ALL[self.pane].columns().len() + 1;
                self.sort[self.pane] = (self.sort[self.pane] + 1) % columns;
            }
            KeyCode::Tab | KeyCode::Right => self.turn_to((self.pane + 1) % 4),
            KeyCode::BackTab | KeyCode::Left => self.turn_to((self.pane + 3) % 4),
            KeyCode::Char(digit @ '1'..='4') => self.turn_to(digit as usize - '1' as usize),
            KeyCode::Down => self.skip = self.skip.saturating_add(1),
            KeyCode::Up => self.skip = self.skip.saturating_sub(1),
            KeyCode::PageDown => self.skip = self.skip.saturating_add(10),
            KeyCode::PageUp => self.skip = self.skip.saturating_sub(10),
            KeyCode::Home => self.skip = 0,
            _ => {}
        }
        Wish::Draw
    }

    /// The rows of a pane, as they are to be seen.
    pub fn rows(&self, pane: Pane) -> Vec<Row> {
        let mut rows = model::rows(pane, self.before.as_ref(), &self.now);
        rows.retain(|row| row.name.contains(&self.filter));
        model::sort(&mut rows, self.sort[pane as usize], self.turned);
        rows
    }

    /// A line about the broker.
    pub fn broker(&self) -> &str {
        &self.now.broker
    }

    /// Draws it.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let rows = self.rows(Pane::ALL[self.pane]);
        // As far down as there is something.
        self.skip = self.skip.min(rows.len().saturating_sub(1));
        let reason = self.reason(&rows);
        // Words are not cut where it can be helped.
        let columns = usize::from(frame.area().width).max(8) * 4 / 5;
        let height = reason.chars().count().div_ceil(columns).min(REASON_LINES_MAX);
        let lines = [1, 1, 0, height as u16, 1].map(Constraint::Length);
        let lines = [lines[0], lines[1], Constraint::Min(0), lines[3], lines[4]];
        let [broker, tabs, table, why, help] = Layout::vertical(lines).areas(frame.area());
        let reversed = Style::default().add_modifier(Modifier::REVERSED);
        let top = match &self.gone {
            Some(gone) => Line::from(gone.as_str()).style(reversed.add_modifier(Modifier::BOLD)),
            None => Line::from(self.now.broker.as_str()),
        };
        frame.render_widget(top, broker);
        frame.render_widget(Line::from(self.tabs()), tabs);
        self.draw_table(frame, table, &rows);
        frame.render_widget(Paragraph::new(reason).wrap(Wrap { trim: true }), why);
        let bottom = match (self.typing, self.trouble.is_empty()) {
            (true, _) => format!("filter: {}_  (enter keeps it, esc clears it)", self.filter),
            (false, false) => self.trouble.clone(),
            (false, true) => HELP.to_owned(),
        };
        frame.render_widget(Line::from(bottom).style(reversed), help);
    }

    fn tabs(&self) -> String {
        let tab = |(index, pane): (usize, &Pane)| {
            let slow = self.now.items[index].iter().filter(|item| item.why.is_some()).count();
            let count = self.now.count(*pane);
            let slow = if slow > 0 { format!(", {slow}!") } else { String::new() };
            let text = format!("{}:{} {count}{slow}", index + 1, pane.title());
            if index == self.pane { format!("[{text}]") } else { format!(" {text} ") }
        };
        let tabs: Vec<String> = Pane::ALL.iter().enumerate().map(tab).collect();
        let filter = match self.filter.is_empty() {
            true => String::new(),
            false => format!("  filter: {}", self.filter),
        };
        format!("{}{filter}", tabs.join(" "))
    }

    /// Why the first marked row is marked, of those that are below; else of all.
    fn reason(&self, rows: &[Row]) -> String {
        let marked = |row: &&Row| row.why.is_some();
        let first = rows.iter().skip(self.skip).find(marked).or_else(|| rows.iter().find(marked));
        let told = first.and_then(|row| Some(format!("! {}: {}", row.name, row.why.as_ref()?)));
        told.unwrap_or_default()
    }

    fn draw_table(&self, frame: &mut Frame<'_>, area: Rect, rows: &[Row]) {
        let pane = Pane::ALL[self.pane];
        let sorted = self.sort[self.pane];
        let title = |(index, title): (usize, &str)| {
            let mark = match (index == sorted, self.turned) {
                (false, _) => "",
                (true, false) => "v",
                (true, true) => "^",
            };
            // Figures stand at the right, and so do their titles.
            let width = if index == 0 { 0 } else { usize::from(FIGURE_WIDTH) - 1 };
            format!("{:>width$}", format!("{title}{mark}"))
        };
        let titles = std::iter::once("NAME").chain(pane.columns().iter().map(|(title, ..)| *title));
        let header = TableRow::new(titles.enumerate().map(title).collect::<Vec<_>>())
            .style(Style::default().add_modifier(Modifier::BOLD));
        let shown = rows.iter().skip(self.skip).take(usize::from(area.height)).map(|row| {
            let mark = if row.why.is_some() { "! " } else { "  " };
            let figures = row.figures.iter().zip(pane.columns());
            let figures = figures.map(|(figure, (_, _, kind))| {
                format!("{:>1$}", show(figure, *kind), usize::from(FIGURE_WIDTH) - 1)
            });
            let cells = std::iter::once(format!("{mark}{}", row.name)).chain(figures);
            let style = match row.why.is_some() {
                true => Style::default().add_modifier(Modifier::BOLD),
                false => Style::default(),
            };
            TableRow::new(cells.collect::<Vec<_>>()).style(style)
        });
        let mut widths = vec![Constraint::Min(12)];
        widths.extend(pane.columns().iter().map(|_| Constraint::Length(FIGURE_WIDTH - 1)));
        frame.render_widget(Table::new(shown, widths).header(header).column_spacing(1), area);
    }

    fn turn_to(&mut self, pane: usize) {
        (self.pane, self.skip) = (pane, 0);
    }
}

/// A figure in at most eight columns.
pub fn show(figure: &Figure, kind: Kind) -> String {
    let number = match figure {
        Figure::Text(text) => {
            return match text.as_str() {
                "shared memory" => "lanes".to_owned(),
                "local socket" => "socket".to_owned(),
                // Cut, the two would differ by a letter.
                "connected" => "up".to_owned(),
                "connecting" => "trying".to_owned(),
                other => other.chars().take(8).collect(),
            };
        }
        Figure::Number(None) => return "-".to_owned(),
        Figure::Number(Some(number)) => *number,
    };
    match kind {
        Kind::Bytes | Kind::ByteRate => show_bytes(number as u64).replace(' ', ""),
        _ if number >= 1e12 => format!("{number:.0e}"),
        _ if number >= 1e9 => format!("{:.1}G", number / 1e9),
        _ if number >= 1e6 => format!("{:.1}M", number / 1e6),
        _ if number >= 1e5 => format!("{:.0}k", number / 1e3),
        Kind::Rate if number > 0.0 && number < 10.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::{Item, Raw};
    use super::*;

    fn look(at_us: u64, accepted: u64) -> Look {
        let item = |name: &str, depth: u64, why: Option<&str>| Item {
            key: name.into(),
            name: name.into(),
            raw: [depth, depth * 100, accepted, 0, 0, 0, 0].map(Raw::Number).to_vec(),
            why: why.map(Into::into),
        };
        let queues = vec![item("jobs.small", 3, None), item("jobs.big", 5000, Some(WHY))];
        Look { at_us, broker: "bus 0.1.0".into(), items: [queues, vec![], vec![], vec![]] }
    }

    const WHY: &str = "2 sends wait for room (5000 of 5000 messages); nobody waits to receive";

    fn screen() -> Screen {
        let mut screen = Screen::new(String::new());
        screen.take(look(1_000_000, 10));
        screen.take(look(2_000_000, 52));
        screen
    }

    fn picture(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("in memory");
        terminal.draw(|frame| screen.draw(frame)).expect("in memory");
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..height).map(line).collect()
    }

    fn press(screen: &mut Screen, keys: &str) -> Wish {
        let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
        let codes = keys.chars().map(|c| match c {
            '\t' => KeyCode::Tab,
            '\n' => KeyCode::Enter,
            other => KeyCode::Char(other),
        });
        codes.map(|code| screen.press(key(code))).last().unwrap_or(Wish::Draw)
    }

    #[test]
    fn eighty_by_twenty_four_shows_all_columns_and_the_deepest_first() {
        let lines = picture(&mut screen(), 80, 24);
        assert!(lines[0].starts_with("bus 0.1.0"), "{lines:#?}");
        assert!(lines[1].starts_with("[1:queues 2, 1!]"), "{lines:#?}");
        for column in ["NAME", "DEPTHv", "BYTES", "IN/s", "OUT/s", "LEASED", "BLOCKED", "WAITING"] {
            assert!(lines[2].contains(column), "{column}: {lines:#?}");
        }
        assert!(lines[3].starts_with("! jobs.big") && lines[3].contains("5000"), "{lines:#?}");
        assert!(lines[4].starts_with("  jobs.small") && lines[4].contains(" 42 "), "{lines:#?}");
        assert!(lines[23].starts_with("tab pane"), "{lines:#?}");
    }

    #[test]
    fn the_reason_of_the_first_marked_row_stands_below_and_goes_with_it() {
        let mut screen = screen();
        let lines = picture(&mut screen, 80, 24);
        assert!(lines[21].starts_with("! jobs.big: 2 sends wait for room"), "{lines:#?}");
        let told = format!("{} {}", lines[21].trim(), lines[22].trim());
        assert_eq!(told.trim(), format!("! jobs.big: {WHY}"), "all of it");
        // Narrow: no more lines than there may be, and the rows are still there.
        let lines = picture(&mut screen, 40, 10);
        assert!(lines[3].starts_with("! jobs.big") && lines[9].starts_with("tab"), "{lines:#?}");
        // One that is not marked has none, and a list without a marked one has no line for it.
        press(&mut screen, "/small\n");
        let lines = picture(&mut screen, 80, 24);
        assert!(!lines.iter().any(|line| line.contains("sends wait")), "{lines:#?}");
    }

    #[test]
    fn figures_of_before_are_told_as_such_until_the_broker_is_back() {
        let mut screen = screen();
        screen.gone = Some("no connection for 3s".into());
        let lines = picture(&mut screen, 80, 24);
        assert!(lines[0].starts_with("no connection for 3s"), "{lines:#?}");
        assert!(lines[3].contains("jobs.big"), "what was seen last stays: {lines:#?}");
        screen.gone = None;
        assert!(picture(&mut screen, 80, 24)[0].starts_with("bus 0.1.0"));
    }

    #[test]
    fn keys_sort_filter_switch_and_quit() {
        let mut screen = screen();
        press(&mut screen, "r");
        assert!(picture(&mut screen, 80, 24)[3].contains("jobs.small"), "turned round");
        press(&mut screen, "/big\n");
        let lines = picture(&mut screen, 80, 24);
        assert!(lines[3].contains("jobs.big") && lines[4].trim().is_empty(), "{lines:#?}");
        press(&mut screen, "\t");
        assert!(picture(&mut screen, 80, 24)[1].contains("[2:topics 0]"));
        assert_eq!(press(&mut screen, "s"), Wish::Draw);
        assert_eq!(press(&mut screen, "q"), Wish::Quit);
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.press(control), Wish::Quit);
    }

    #[test]
    fn no_size_is_too_small_to_draw() {
        let mut screen = screen();
        for (width, height) in [(1, 1), (5, 2), (80, 3), (300, 100)] {
            picture(&mut screen, width, height);
        }
    }

    #[test]
    fn figures_fit_their_columns() {
        for number in [0.0, 0.4, 99_999.0, 123_456.0, 5e6, 8e9, 1e12, 1.8e19] {
            for kind in [Kind::Count, Kind::Bytes, Kind::Rate, Kind::ByteRate] {
                let shown = show(&Figure::Number(Some(number)), kind);
                assert!(shown.len() <= 8, "{shown}");
            }
        }
    }
}
