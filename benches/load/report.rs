//! From samples to figures, and the tables that a reader sees.

use crate::cells::{CELLS, Cell, Sample, Samples};
use crate::figures::Figure;
use crate::pace::Pace;
use crate::targets::{DIRECT, GATEWAY, NGINX};
use benches::answers::Shape;

/// Everything that one run measured.
pub(crate) struct Measured {
    pub(crate) cells: Samples,
    pub(crate) pace: Vec<(&'static str, Pace)>,
    /// KiB
    pub(crate) peaks: Vec<(&'static str, f64)>,
    /// KiB
    pub(crate) per_stream: Vec<(&'static str, f64)>,
}

/// What is to be reached, in numbers.
const CPU_PER_ANSWER: f64 = 2.0;
const CPU_PER_EVENT: f64 = 1.5;
const GROWTH_16_TO_256: f64 = 1.25;
/// On a machine where nginx grows too, the gateway may grow so much more.
const GROWTH_BESIDE_NGINX: f64 = 1.1;
const ADDED_P50_US: f64 = 50.0;
const ADDED_GAP_MS: f64 = 10.0;
const KIB_PER_STREAM: f64 = 64.0;

impl Measured {
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for cell in CELLS {
            for name in [DIRECT, NGINX, GATEWAY] {
                figures.extend(self.of_cell(cell, name));
            }
        }
        figures.extend(self.growth());
        figures.extend(self.of_pace());
        figures.extend(beside_nginx("peak_memory", &self.peaks, "KiB"));
        figures.extend(beside_nginx("memory_per_open_stream", &self.per_stream, "KiB").into_iter().map(
            |figure| {
                if is_gateway(&figure) { figure.below(KIB_PER_STREAM) } else { figure }
            },
        ));
        figures
    }

    fn of_cell(&self, cell: Cell, name: &'static str) -> Vec<Figure> {
        if !self.cells.contains_key(&(cell, name)) {
            return Vec::new();
        }
        let (shape, clients) = cell;
        let kind = if shape.is_stream() { "stream" } else { "json" };
        let figure = |what: &str, of: fn(&Sample) -> Option<f64>, unit| {
            let full = format!("load/{kind}/c{clients}/{name}/{what}");
            let figure = self.rounds(cell, name, of).map(|rounds| Figure::median(full, rounds, unit));
            let nginx = (name != NGINX).then(|| self.median(cell, NGINX, of)).flatten();
            figure.map(|figure| figure.beside(NGINX, nginx))
        };
        let (cpu, limit) = if shape.is_stream() {
            ("cpu_per_event", CPU_PER_EVENT)
        } else {
            ("cpu_per_answer", CPU_PER_ANSWER)
        };
        let p50 = figure("p50", |sample| Some(sample.p50_us), "us");
        let cpu = figure(cpu, |sample| sample.cpu_us, "us");
        let judged = name == GATEWAY;
        vec![
            figure("per_second", |sample| Some(sample.per_second), "1/s"),
            p50.map(
                |p50| if judged && cell == (Shape::Json, 1) { p50.at_most_more(ADDED_P50_US) } else { p50 },
            ),
            figure("p99", |sample| Some(sample.p99_us), "us"),
            cpu.map(|cpu| if judged { cpu.at_most_times(limit) } else { cpu }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Does an answer cost the same however many are asked for at once?
    fn growth(&self) -> Vec<Figure> {
        let cpu = |clients, name| self.median((Shape::Json, clients), name, |sample| sample.cpu_us);
        let growth = |name| Some(cpu(256, name)? / cpu(16, name)?);
        let figure =
            |name: &str, value| Figure::new(format!("load/json/{name}/cpu_c256_over_c16"), value, "x");
        let nginx = growth(NGINX).map(|value| figure(NGINX, value));
        let gateway = growth(GATEWAY).map(|value| figure(GATEWAY, value).beside(NGINX, growth(NGINX)));
        let limit =
            growth(NGINX).map_or(GROWTH_16_TO_256, |nginx| GROWTH_16_TO_256.max(nginx * GROWTH_BESIDE_NGINX));
        nginx.into_iter().chain(gateway.map(|figure| figure.below(limit))).collect()
    }

    fn of_pace(&self) -> Vec<Figure> {
        let direct = self.pace.iter().find(|(name, _)| *name == DIRECT).map(|(_, pace)| *pace);
        let mut figures = Vec::new();
        for (name, pace) in &self.pace {
            let figure = |what: &str, of: fn(&Pace) -> f64| {
                let figure = Figure::new(format!("load/paced/{name}/{what}"), of(pace) / 1e3, "ms");
                figure.beside(DIRECT, direct.as_ref().filter(|_| *name != DIRECT).map(|pace| of(pace) / 1e3))
            };
            figures.push(figure("first_event", |pace| pace.first_event_us));
            let gap = figure("largest_gap", |pace| pace.largest_gap_us);
            figures.push(if *name == GATEWAY { gap.at_most_more(ADDED_GAP_MS) } else { gap });
        }
        figures
    }

    fn rounds(&self, cell: Cell, name: &'static str, of: fn(&Sample) -> Option<f64>) -> Option<Vec<f64>> {
        let rounds: Vec<f64> = self.cells.get(&(cell, name))?.iter().filter_map(of).collect();
        (!rounds.is_empty()).then_some(rounds)
    }

    fn median(&self, cell: Cell, name: &'static str, of: fn(&Sample) -> Option<f64>) -> Option<f64> {
        self.rounds(cell, name, of).map(|rounds| Figure::median("", rounds, "").value)
    }
}

fn beside_nginx(what: &str, values: &[(&'static str, f64)], unit: &'static str) -> Vec<Figure> {
    let nginx = values.iter().find(|(name, _)| *name == NGINX).map(|(_, value)| *value);
    let figure = |(name, value): &(&'static str, f64)| {
        let figure = Figure::new(format!("load/{name}/{what}"), *value, unit);
        if *name == NGINX { figure } else { figure.beside(NGINX, nginx) }
    };
    values.iter().map(figure).collect()
}

fn is_gateway(figure: &Figure) -> bool {
    figure.name.split('/').any(|part| part == GATEWAY)
}

/// A table per shape, the other figures, and the targets with their verdicts.
pub(crate) fn print(measured: &Measured) {
    for stream in [false, true] {
        println!("\n{}", cell_table(measured, stream));
    }
    let figures = measured.figures();
    println!("\n{:<44} {:>10}      ratio", "pace and memory", "value");
    for figure in figures.iter().filter(|f| f.name.contains("paced") || f.name.contains("memory")) {
        println!("{:<44} {:>10.1} {:<4} {}", figure.name, figure.value, figure.unit, ratio(figure));
    }
    println!("\ntargets");
    for figure in figures.iter().filter(|figure| figure.reached.is_some()) {
        println!("{}", verdict(figure));
    }
}

fn cell_table(measured: &Measured, stream: bool) -> String {
    let (title, cpu) =
        if stream { ("streams of 20 events", "us/event") } else { ("whole answers", "us/answer") };
    let mut table = format!(
        "{title:<22} {:>5} {:>9} {:>9} {:>9} {:>10} {:>8}",
        "c", "per s", "p50 ms", "p99 ms", cpu, "x nginx"
    );
    for cell in CELLS.into_iter().filter(|(shape, _)| shape.is_stream() == stream) {
        for name in [DIRECT, NGINX, GATEWAY] {
            let median = |of| measured.median(cell, name, of);
            let Some(per_second) = median(|sample| Some(sample.per_second)) else { continue };
            let ms = |of| median(of).unwrap_or(f64::NAN) / 1e3;
            let cpu = median(|sample| sample.cpu_us);
            let ratio = cpu.and_then(|cpu| Some(cpu / measured.median(cell, NGINX, |sample| sample.cpu_us)?));
            let shown =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
            table += &format!(
                "\n{name:<22} {:>5} {per_second:>9.0} {:>9.3} {:>9.3} {:>10} {:>8}",
                cell.1,
                ms(|sample| Some(sample.p50_us)),
                ms(|sample| Some(sample.p99_us)),
                shown(cpu),
                shown(ratio),
            );
        }
    }
    table
}

fn ratio(figure: &Figure) -> String {
    match (&figure.reference, figure.ratio) {
        (Some(reference), Some(ratio)) => format!("{ratio:.2} x {}", reference.name),
        _ => String::new(),
    }
}

fn verdict(figure: &Figure) -> String {
    let word = if figure.reached == Some(true) { "pass" } else { "FAIL" };
    let target = figure.target.as_deref().unwrap_or_default();
    format!(
        "{word}  {:<40} {:>8.2} {:<3} {:<14} ({target})",
        figure.name,
        figure.value,
        figure.unit,
        ratio(figure)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_us: Option<f64>) -> Sample {
        Sample { per_second: 1000.0, p50_us: 100.0, p99_us: 200.0, cpu_us }
    }

    fn measured(gateway_cpu: f64) -> Measured {
        let mut cells = Samples::new();
        for cell in CELLS {
            cells.insert((cell, DIRECT), vec![sample(None)]);
            cells.insert((cell, NGINX), vec![sample(Some(10.0)); 3]);
            cells.insert((cell, GATEWAY), vec![sample(Some(gateway_cpu)); 3]);
        }
        let pace = |gap| Pace { first_event_us: 20_000.0, largest_gap_us: gap };
        Measured {
            cells,
            pace: vec![(DIRECT, pace(12_000.0)), (GATEWAY, pace(42_000.0))],
            peaks: vec![(NGINX, 10_000.0), (GATEWAY, 20_000.0)],
            per_stream: vec![(NGINX, 10.0), (GATEWAY, 20.0)],
        }
    }

    fn missed(measured: &Measured) -> Vec<String> {
        let figures = measured.figures();
        figures.into_iter().filter(|figure| figure.reached == Some(false)).map(|figure| figure.name).collect()
    }

    #[test]
    fn a_stall_of_42_ms_is_a_missed_target() {
        assert_eq!(missed(&measured(15.0)), ["load/paced/gateway/largest_gap"]);
    }

    #[test]
    fn whole_answers_may_cost_twice_nginx_and_events_one_and_a_half_times() {
        let streams = ["load/stream/c16/gateway/cpu_per_event", "load/stream/c256/gateway/cpu_per_event"];
        let missed = missed(&measured(19.0));
        assert_eq!(missed[..2], streams, "{missed:?}");
        assert_eq!(missed.len(), 3, "{missed:?}");
    }

    #[test]
    fn every_figure_of_the_gateway_is_told_beside_nginx() {
        let measured = measured(15.0);
        let figures = measured.figures();
        let cpu =
            figures.iter().find(|figure| figure.name == "load/json/c64/gateway/cpu_per_answer").unwrap();
        assert_eq!((cpu.ratio, cpu.rounds.len()), (Some(1.5), 3));
        print(&measured);
    }
}
