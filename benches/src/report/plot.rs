//! A plot of bars as SVG: small, without scripts and fonts, readable on light and dark pages.

use std::fmt::Write as _;

use super::Bar;

const WIDTH: f64 = 640.0;
/// The column at which bars start; names are left of it.
const LEFT: f64 = 140.0;
/// Room for the figure right of the longest bar.
const RIGHT: f64 = 60.0;
const BAR: f64 = 16.0;
const GROUP: f64 = 26.0;

/// The bars from top to bottom, grouped, with their figures.
pub(super) fn svg(unit: &str, bars: &[Bar]) -> String {
    let longest = bars
        .iter()
        .map(|bar| bar.value)
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut shapes = String::new();
    let mut y = GROUP;
    let mut group = "";
    for bar in bars {
        if bar.group != group {
            group = &bar.group;
            y += GROUP;
            text(&mut shapes, 8.0, y - 8.0, "start", group);
        }
        let length = (bar.value / longest * (WIDTH - LEFT - RIGHT)).max(1.0);
        let colour = if bar.name.starts_with("bellwether") {
            "#2a7f62"
        } else {
            "#8a8f98"
        };
        let height = BAR - 4.0;
        text(&mut shapes, LEFT - 6.0, y + height - 2.0, "end", bar.name);
        writeln!(
            shapes,
            r#"<rect x="{LEFT}" y="{y}" width="{length:.1}" height="{height}" fill="{colour}"/>"#
        )
        .expect("a String takes all text");
        let figure = format!("{:.2}", bar.value);
        text(
            &mut shapes,
            LEFT + length + 4.0,
            y + height - 2.0,
            "start",
            &figure,
        );
        y += BAR;
    }
    text(&mut shapes, 8.0, 18.0, "start", unit);
    let height = y + 8.0;
    // One grey that is legible on both white and black.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#777\">\n{shapes}</svg>\n"
    )
}

fn text(shapes: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        shapes,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#
    )
    .expect("a String takes all text");
}
