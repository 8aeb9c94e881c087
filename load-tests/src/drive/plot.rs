//! Latency over time as a picture: SVG for a file, blocks for a terminal.

use std::fmt::Write;

use super::tally::Second;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 36.0;
const TOP: f64 = 28.0;
/// Columns of the picture on a terminal.
const COLUMNS: usize = 72;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

type Quantile = fn(&Second) -> f64;

/// What is drawn: name, colour, value.
const LINES: [(&str, &str, Quantile); 3] = [
    ("p50", "#2a6fbb", |second| second.latency.p50_ms),
    ("p99", "#d9822b", |second| second.latency.p99_ms),
    ("max", "#b23a48", |second| second.latency.max_ms),
];

/// Latency by second, on a logarithmic scale, as an SVG document.
pub fn svg(title: &str, seconds: &[Second]) -> String {
    let answered: Vec<&Second> = seconds.iter().filter(|second| second.batches > 0).collect();
    let of = |pick: fn(f64, f64) -> f64, begin: f64| {
        let values = answered.iter().flat_map(|second| LINES.map(|(_, _, value)| value(second)));
        values.filter(|ms| *ms > 0.0).fold(begin, pick)
    };
    let (least, most) = (of(f64::min, 1.0).log10().floor(), of(f64::max, 10.0).log10().ceil());
    let last = seconds.last().map_or(1, |second| second.at_s.max(1)) as f64;
    let x = |at_s: usize| LEFT + (WIDTH - LEFT - 16.0) * at_s as f64 / last;
    let y = |ms: f64| {
        let share = (ms.max(1e-3).log10() - least) / (most - least);
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"18\">{}</text>\n",
        escape(title)
    );
    // Writing to a string cannot fail.
    for power in least as i32..=most as i32 {
        let (ms, at) = (10f64.powi(power), y(10f64.powi(power)));
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"4\" y=\"{:.1}\">{ms} ms</text>",
            WIDTH - 16.0,
            at + 4.0
        );
    }
    for (number, (name, colour, value)) in LINES.iter().enumerate() {
        let points: Vec<String> = answered
            .iter()
            .map(|second| format!("{:.1},{:.1}", x(second.at_s), y(value(second))))
            .collect();
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/>\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            LEFT + 60.0 * number as f64,
            HEIGHT - 8.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\">{last} s</text>\n</svg>",
        WIDTH - 48.0,
        HEIGHT - 8.0
    );
    out
}

/// The 99th percentile by second in one line of blocks, with its greatest value.
pub fn blocks(seconds: &[Second]) -> String {
    let per_column = seconds.len().div_ceil(COLUMNS).max(1);
    let worst =
        |chunk: &[Second]| chunk.iter().map(|second| second.latency.p99_ms).fold(0.0, f64::max);
    let columns: Vec<f64> = seconds.chunks(per_column).map(worst).collect();
    let most = columns.iter().copied().fold(0.0, f64::max);
    let block = |ms: &f64| {
        let step = (ms / most.max(f64::MIN_POSITIVE) * (BLOCKS.len() - 1) as f64).round();
        BLOCKS[(step as usize).min(BLOCKS.len() - 1)]
    };
    let line: String = columns.iter().map(block).collect();
    format!("{line}  p99 by second, {most:.1} ms at most")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::tally::Latency;

    fn second(at_s: usize, ms: f64) -> Second {
        let latency =
            Latency { p50_ms: ms / 4.0, p90_ms: ms / 2.0, p99_ms: ms, p999_ms: ms, max_ms: ms };
        Second { at_s, batches: 10, accepted: 500, refused: 0, latency }
    }

    #[test]
    fn a_slow_second_stands_out() {
        let seconds: Vec<Second> =
            (0..10).map(|at_s| second(at_s, if at_s == 7 { 800.0 } else { 2.0 })).collect();
        let line = blocks(&seconds);
        assert_eq!(line.chars().take(10).position(|sign| sign == '█'), Some(7), "{line}");
        let svg = svg("a < b", &seconds);
        assert!(svg.contains("a &lt; b") && svg.contains("1000 ms"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 3);
    }

    #[test]
    fn a_run_without_answers_can_be_drawn() {
        assert!(svg("none", &[]).ends_with("</svg>\n"));
        assert!(blocks(&[]).contains("0.0 ms"));
    }
}
