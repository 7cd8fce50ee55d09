//! The charts of a pass as pictures, all of one size.

use std::path::Path;

use engine_tracking::ImageFile;

use super::{CLASSES, PassFigures, put_picture};
use crate::figures::{
    FigureError, Line, LinePanel, Matrix, Picture, confusion_matrix, learning_curves, precision_recall,
    region_table, roc,
};
use crate::learn::History;
use crate::segmentation::error::RunError;
use crate::segmentation::task::SHOWN;

impl PassFigures {
    /// Writes each chart as `{name}.png`.
    pub(super) fn write_charts(&self, folder: &Path) -> Result<Vec<ImageFile>, RunError> {
        let write = |(name, caption, picture): (&str, String, Picture)| {
            put_picture(&folder.join(format!("{name}.png")), &picture, &caption)
        };
        self.drawn_charts()?.into_iter().map(write).collect()
    }

    fn drawn_charts(&self) -> Result<Vec<(&'static str, String, Picture)>, FigureError> {
        let set = match self.prefix {
            "val" => "validation",
            other => other,
        };
        let title = |what: &str| format!("{what}: {set}, epoch {}, step {}", self.epoch, self.step);
        let metric = |name: &str| self.evaluation.metrics.get(&format!("{}/{name}", self.prefix)).copied();
        let area = |name: &str| metric(name).unwrap_or(f64::NAN);
        let curves = &self.evaluation.curves;
        let [[tn, fp], [fn_, tp]] = curves.cmx_counts;
        let all = (tn + fp + fn_ + tp) as f64;
        let share = (all > 0.0).then(|| (fn_ + tp) as f64 / all);
        let [roc_title, pr_title, matrix_title, region_title] =
            ["ROC", "Precision and recall", "Confusion matrix", "Regions"].map(title);
        let pixels =
            Matrix { classes: CLASSES, counts: curves.cmx_counts, unit: "pixels", has_true_negatives: true };
        let mut charts = vec![
            ("roc", roc(&roc_title, &curves.roc, area("AUROC"))?, roc_title),
            (
                "precision_recall",
                precision_recall(&pr_title, &curves.prc, area("AveragePrecision"), share)?,
                pr_title,
            ),
            ("confusion_matrix", confusion_matrix(&matrix_title, &pixels)?, matrix_title),
            ("regions", region_table(&region_title, &self.evaluation.regions)?, region_title),
        ];
        if let Some(instances) = self.evaluation.instances.as_ref().map(|instances| instances.curve_data()) {
            let [pr_title, matrix_title] =
                ["Precision and recall of instances", "Confusion of instances"].map(title);
            let area = area("InstanceAveragePrecision");
            let counts = instances.instance_cmx_counts;
            let classes = ["no instance", "instance"];
            let matrix = Matrix { classes, counts, unit: "instances", has_true_negatives: false };
            let curve = precision_recall(&pr_title, &instances.instance_prc, area, None)?;
            charts.push(("instance_precision_recall", curve, pr_title));
            charts.push((
                "instance_confusion_matrix",
                confusion_matrix(&matrix_title, &matrix)?,
                matrix_title,
            ));
        }
        if let Some(history) = &self.history {
            let title = format!("Learning curves until epoch {}", self.epoch);
            charts.push(("learning_curves", learning_curves(&title, &panels(history))?, title));
        }
        Ok(charts.into_iter().map(|(name, picture, title)| (name, title, picture)).collect())
    }
}

/// A panel of losses and one of shares.
fn panels(history: &History) -> Vec<LinePanel> {
    let line = |name: &str| {
        let rows = history.rows().iter();
        let known = rows.filter_map(|row| Some((f64::from(row.epoch), *row.values.get(name)?)));
        let (x, y): (Vec<f64>, Vec<f64>) = known.unzip();
        let name = name.replace("JaccardIndex", "IoU").replace("AveragePrecision", "avg. precision");
        (!x.is_empty()).then_some(Line { name, x, y })
    };
    let panel = |name: &str, names: &[&str], is_share| LinePanel {
        name: name.into(),
        lines: names.iter().filter_map(|name| line(name)).collect(),
        is_share,
    };
    let (losses, shares) = SHOWN.split_at(2);
    vec![panel("loss", losses, false), panel("metrics", shares, true)]
}
