//! Figures with their reference and target, as they are written to JSON and judged.

use serde::Serialize;

/// One measured value. `cargo xtask bench` reads this form.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<Reference>,
    /// `value / reference.value`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reached: Option<bool>,
    /// The value of each round; `value` is their median.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rounds: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Reference {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
            reference: None,
            ratio: None,
            target: None,
            reached: None,
            rounds: Vec::new(),
        }
    }

    /// The median of the rounds.
    pub(crate) fn median(name: impl Into<String>, rounds: Vec<f64>, unit: &'static str) -> Self {
        Self { rounds: rounds.clone(), ..Self::new(name, median(rounds), unit) }
    }

    pub(crate) fn beside(mut self, name: &'static str, value: Option<f64>) -> Self {
        self.ratio = value.filter(|value| *value > 0.0).map(|value| self.value / value);
        self.reference = value.map(|value| Reference { name, value });
        self
    }

    /// To be reached: at most so many times the reference.
    pub(crate) fn at_most_times(mut self, limit: f64) -> Self {
        let name = self.reference.as_ref().map_or("its reference", |reference| reference.name);
        self.target = Some(format!("at most {limit} x {name}"));
        self.reached = self.ratio.map(|ratio| ratio <= limit);
        self
    }

    /// To be reached: at most so much more than the reference.
    pub(crate) fn at_most_more(mut self, limit: f64) -> Self {
        let Some(reference) = &self.reference else { return self };
        self.target = Some(format!("at most {limit} {} more than {}", self.unit, reference.name));
        self.reached = Some(self.value - reference.value <= limit);
        self
    }

    /// To be reached: below a fixed value.
    pub(crate) fn below(mut self, limit: f64) -> Self {
        self.target = Some(format!("below {} {}", (limit * 100.0).round() / 100.0, self.unit));
        self.reached = Some(self.value < limit);
        self
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_judged_by_its_ratio_its_difference_or_its_value() {
        let figure = || Figure::new("cpu", 30.0, "us").beside("nginx", Some(20.0));
        assert_eq!(figure().ratio, Some(1.5));
        assert_eq!(figure().at_most_times(1.5).reached, Some(true));
        assert_eq!(figure().at_most_times(1.4).reached, Some(false));
        assert_eq!(figure().at_most_more(10.0).reached, Some(true));
        assert_eq!(figure().at_most_more(9.0).reached, Some(false));
        assert_eq!(figure().below(30.0).reached, Some(false));
    }

    #[test]
    fn without_a_reference_nothing_is_judged() {
        let figure = Figure::new("cpu", 30.0, "us").beside("nginx", None).at_most_times(2.0);
        assert_eq!((figure.ratio, figure.reached), (None, None));
    }

    #[test]
    fn the_median_of_two_rounds_lies_between_them() {
        assert_eq!(Figure::median("x", vec![4.0, 1.0], "us").value, 2.5);
        assert_eq!(Figure::median("x", vec![4.0, 1.0, 3.0], "us").value, 3.0);
    }
}
