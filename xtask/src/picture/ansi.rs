//! What a terminal shows, with its escape sequences, as plain text and as SVG.
//!
//! Only what our commands write is understood: bold, dim and the eight colours. Other sequences are ignored.

use std::fmt::Write as _;

/// Pixels of a character of the font size below.
const WIDTH: f32 = 8.4;
const HEIGHT: usize = 20;
const FONT_SIZE: usize = 14;
const MARGIN: usize = 16;

/// Colours of SGR 30 to 37 on the dark ground.
const COLOURS: [&str; 8] = [
    "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#e6edf3",
];
const GROUND: &str = "#0d1117";
const TEXT: &str = "#e6edf3";

/// The style of characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    is_bold: bool,
    is_dim: bool,
    colour: Option<usize>,
}

/// A part of a line in one style.
#[derive(Debug, PartialEq)]
pub(crate) struct Span {
    style: Style,
    text: String,
}

/// Reads a screen. Empty lines at its end are left out.
pub(crate) fn lines(screen: &str) -> Vec<Vec<Span>> {
    let mut style = Style::default();
    let mut lines: Vec<_> = screen.lines().map(|text| line(text, &mut style)).collect();
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

/// The colours go on from line to line, as in the terminal.
fn line(text: &str, style: &mut Style) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (at, part) in text.split('\u{1b}').enumerate() {
        let mut shown = part;
        if at > 0 {
            // A sequence: CSI, its numbers, a letter.
            let end = part.find(|letter: char| letter.is_ascii_alphabetic());
            let (sequence, rest) = part.split_at(end.map_or(part.len(), |end| end + 1));
            shown = rest;
            let numbers = sequence.strip_prefix('[').and_then(|s| s.strip_suffix('m'));
            numbers
                .into_iter()
                .for_each(|numbers| style.change(numbers));
        }
        match spans.last_mut() {
            _ if shown.is_empty() => {}
            Some(last) if last.style == *style => last.text.push_str(shown),
            _ => spans.push(Span {
                style: *style,
                text: shown.to_owned(),
            }),
        }
    }
    spans
}

impl Style {
    fn change(&mut self, numbers: &str) {
        for number in numbers.split(';') {
            match number.parse().unwrap_or(0) {
                0 => *self = Self::default(),
                1 => self.is_bold = true,
                2 => self.is_dim = true,
                22 => (self.is_bold, self.is_dim) = (false, false),
                colour @ 30..=37 => self.colour = Some(colour - 30),
                39 => self.colour = None,
                _ => {}
            }
        }
    }

    fn attributes(self) -> String {
        let mut attributes = String::new();
        if let Some(colour) = self.colour.and_then(|colour| COLOURS.get(colour)) {
            let _ = write!(attributes, " fill=\"{colour}\"");
        }
        if self.is_bold {
            attributes.push_str(" font-weight=\"bold\"");
        }
        if self.is_dim {
            attributes.push_str(" opacity=\"0.6\"");
        }
        attributes
    }
}

/// The characters alone.
pub(crate) fn text(lines: &[Vec<Span>]) -> String {
    let mut out = String::new();
    for line in lines {
        let text: String = line.iter().map(|span| span.text.as_str()).collect();
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// A picture with this number of columns.
pub(crate) fn svg(lines: &[Vec<Span>], columns: usize) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a terminal has few columns"
    )]
    let width = (columns as f32 * WIDTH).ceil() as usize + 2 * MARGIN;
    let height = lines.len() * HEIGHT + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"{FONT_SIZE}\" \
         fill=\"{TEXT}\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{GROUND}\"/>\n"
    );
    for (number, line) in lines.iter().enumerate() {
        let y = MARGIN + number * HEIGHT + FONT_SIZE;
        let _ = write!(
            out,
            "<text x=\"{MARGIN}\" y=\"{y}\" xml:space=\"preserve\">"
        );
        for span in line {
            let text = span.text.replace('&', "&amp;").replace('<', "&lt;");
            let _ = write!(out, "<tspan{}>{text}</tspan>", span.style.attributes());
        }
        out.push_str("</text>\n");
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: &str =
        "\u{1b}[2m# a<b\n12:00\u{1b}[0m\u{1b}[39m \u{1b}[1m\u{1b}[36mprice\u{1b}[0m  1\n\n\n";

    #[test]
    fn text_has_no_sequences_and_no_empty_lines_at_the_end() {
        assert_eq!(text(&lines(SCREEN)), "# a<b\n12:00 price  1\n");
    }

    #[test]
    fn styles_become_attributes_and_go_on_in_the_next_line() {
        let svg = svg(&lines(SCREEN), 80);
        assert!(
            svg.contains("<tspan opacity=\"0.6\"># a&lt;b</tspan>"),
            "{svg}"
        );
        assert!(
            svg.contains("<tspan opacity=\"0.6\">12:00</tspan>"),
            "{svg}"
        );
        let name = "<tspan fill=\"#39c5cf\" font-weight=\"bold\">price</tspan>";
        assert!(svg.contains(name), "{svg}");
        assert!(svg.contains("<tspan>  1</tspan>"), "{svg}");
    }
}
