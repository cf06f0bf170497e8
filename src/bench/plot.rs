//! Line charts as SVG files: one or more panels beside each other, each with lines over one axis.

use anyhow::{Context as _, anyhow};
use plotters::prelude::*;
use std::path::Path;

/// A line with its points.
#[derive(Clone, Debug)]
pub struct Line {
    /// Name in the legend.
    pub name: String,
    /// Points, by x.
    pub points: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Title.
    pub title: String,
    /// What x is, with its unit.
    pub x: String,
    /// What y is, with its unit.
    pub y: String,
    /// Both axes logarithmic.
    pub log: bool,
    /// The lines.
    pub lines: Vec<Line>,
}

/// Width and height of one panel in pixels.
const PANEL: (u32, u32) = (460, 360);

/// Told apart also by those who see red and green alike (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];

/// Draws the panels beside each other into one file.
///
/// # Errors
/// When the file cannot be written or there is nothing to draw.
pub fn draw(path: &Path, panels: &[Panel]) -> anyhow::Result<()> {
    let count = u32::try_from(panels.len()).context("too many panels")?;
    if count == 0 || panels.iter().all(|panel| panel.lines.is_empty()) {
        return Err(anyhow!("nothing to draw in {}", path.display()));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let root = SVGBackend::new(path, (PANEL.0 * count, PANEL.1)).into_drawing_area();
    let result: Result<(), anyhow::Error> = (|| {
        root.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
        for (area, panel) in root.split_evenly((1, panels.len())).iter().zip(panels) {
            if panel.log {
                logarithmic(area, panel)?;
            } else {
                linear(area, panel)?;
            }
        }
        root.present().map_err(|error| anyhow!("{error}"))
    })();
    result.with_context(|| format!("cannot draw {}", path.display()))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Smallest and largest x and y; y from 0 unless logarithmic.
fn bounds(panel: &Panel) -> ((f64, f64), (f64, f64)) {
    let points = || panel.lines.iter().flat_map(|line| line.points.iter());
    let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let x = (
        least(&mut points().map(|p| p.0)),
        most(&mut points().map(|p| p.0)),
    );
    let y_least = least(&mut points().map(|p| p.1).filter(|y| *y > 0.0));
    (x, (y_least, most(&mut points().map(|p| p.1)).max(1e-9)))
}

macro_rules! chart {
    ($area:expr, $panel:expr, $x:expr, $y:expr) => {{
        let panel: &Panel = $panel;
        let mut chart = ChartBuilder::on($area)
            .caption(&panel.title, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(62)
            .build_cartesian_2d($x, $y)
            .map_err(|error| anyhow!("{error}"))?;
        chart
            .configure_mesh()
            .x_desc(&panel.x)
            .y_desc(&panel.y)
            .axis_desc_style(("sans-serif", 14))
            .label_style(("sans-serif", 12))
            .light_line_style(WHITE)
            .x_label_formatter(&|x| number(*x))
            .y_label_formatter(&|y| number(*y))
            .draw()
            .map_err(|error| anyhow!("{error}"))?;
        for (line, colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
            let (colour, points) = (*colour, line.points.clone());
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))
                .map_err(|error| anyhow!("{error}"))?
                .label(&line.name)
                .legend(move |(x, y)| {
                    PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2))
                });
            chart
                .draw_series(
                    points
                        .into_iter()
                        .map(|p| Circle::new(p, 3, colour.filled())),
                )
                .map_err(|error| anyhow!("{error}"))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 12))
            .background_style(WHITE.mix(0.8))
            .border_style(RGBColor(200, 200, 200))
            .draw()
            .map_err(|error| anyhow!("{error}"))?;
        Ok(())
    }};
}

fn linear(area: &Area<'_>, panel: &Panel) -> anyhow::Result<()> {
    let (x, y) = bounds(panel);
    let margin = ((x.1 - x.0) * 0.05).max(1e-9);
    // Room for the legend above the highest line.
    let top = y.1 * 1.45;
    chart!(area, panel, x.0 - margin..x.1 + margin, 0.0..top)
}

fn logarithmic(area: &Area<'_>, panel: &Panel) -> anyhow::Result<()> {
    let (x, y) = bounds(panel);
    let (left, right) = (x.0.max(1e-9) / 1.15, x.1 * 1.15);
    let (bottom, top) = (y.0 / 1.5, y.1 * 6.0);
    chart!(
        area,
        panel,
        (left..right).log_scale(),
        (bottom..top).log_scale()
    )
}

/// A number as short as it goes.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000_000.0 {
        format!("{}M", short(value / 1_000_000.0))
    } else if size >= 1_000.0 {
        format!("{}k", short(value / 1_000.0))
    } else {
        short(value)
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() { "0" } else { text }.to_owned()
}
