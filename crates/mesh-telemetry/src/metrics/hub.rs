//! All series of all workers, summed when scraped, forgotten when idle.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;
use prometheus::IntCounter;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric as Sample, MetricFamily, MetricType};

use super::flows::Flows;
use super::labels::Labels;
use super::series::{Series, Totals};
use super::{BUCKETS, IDLE_TICKS, Metric};

/// What all workers share.
#[derive(Debug)]
pub(super) struct Hub {
    now: AtomicU32,
    count: AtomicUsize,
    limit: usize,
    series: Mutex<Vec<Arc<Series>>>,
    pub(super) flows: Flows,
    overflowed: IntCounter,
}

impl Hub {
    pub(super) fn new(limit: usize, overflowed: IntCounter) -> Self {
        Self {
            now: AtomicU32::new(0),
            count: AtomicUsize::new(0),
            limit,
            series: Mutex::default(),
            flows: Flows::default(),
            overflowed,
        }
    }

    /// The present tick.
    pub(super) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is room for one more series.
    pub(super) fn has_room(&self) -> bool {
        let room = self.len() < self.limit;
        if !room {
            self.overflowed.inc();
        }
        room
    }

    pub(super) fn insert(&self, series: Arc<Series>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.series.lock().push(series);
    }

    /// Time passes. Series of the same labels are one: they are idle when all of them are. They are first said to retire,
    /// so that workers make new ones, and are forgotten two ticks later, when whoever was just counting is done.
    pub(super) fn tick(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.flows.report(now);
        let mut all = self.series.lock();
        let mut last: HashMap<(Metric, Arc<Labels>), u32> = HashMap::with_capacity(all.len());
        for series in all.iter() {
            let touched = last.entry((series.metric, series.labels.clone())).or_default();
            *touched = (*touched).max(series.touched());
        }
        let idle = |series: &Series| {
            let touched = last.get(&(series.metric, series.labels.clone()));
            touched.map_or(0, |touched| now.saturating_sub(*touched))
        };
        all.retain(|series| {
            let idle = idle(series);
            if idle >= IDLE_TICKS {
                series.retire();
            }
            idle < IDLE_TICKS + 2
        });
        self.count.store(all.len(), Ordering::Relaxed);
    }

    fn sums(&self) -> BTreeMap<Metric, BTreeMap<Arc<Labels>, Totals>> {
        self.flows.report(self.now());
        // Summing takes long; workers that make series must not wait for it.
        let all = self.series.lock().clone();
        let mut sums: BTreeMap<_, BTreeMap<_, Totals>> = BTreeMap::new();
        for series in all {
            let family = sums.entry(series.metric).or_default();
            series.add_to(family.entry(series.labels.clone()).or_default());
        }
        sums
    }
}

/// Turns sums into Prometheus' families when scraped.
pub(super) struct HubCollector {
    hub: Arc<Hub>,
    descriptions: Vec<Desc>,
}

impl HubCollector {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let describe = |metric: Metric| {
            let (name, help) = (metric.name().to_owned(), metric.help().to_owned());
            Desc::new(name, help, Vec::new(), HashMap::new()).expect("constant names are valid")
        };
        Self {
            hub,
            descriptions: Metric::ALL.into_iter().map(describe).collect(),
        }
    }
}

impl Collector for HubCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let family = |(metric, sums): (Metric, BTreeMap<Arc<Labels>, Totals>)| {
            let samples = sums.iter().map(|(labels, totals)| sample(metric, labels, totals));
            let mut family = MetricFamily::default();
            family.set_name(metric.name().to_owned());
            family.set_help(metric.help().to_owned());
            family.set_field_type(match metric.is_histogram() {
                true => MetricType::HISTOGRAM,
                false => MetricType::COUNTER,
            });
            family.set_metric(samples.collect());
            family
        };
        self.hub.sums().into_iter().map(family).collect()
    }
}

fn sample(metric: Metric, labels: &Labels, totals: &Totals) -> Sample {
    let pair = |(name, value): &(mesh_types::Strng, mesh_types::Strng)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_string());
        pair.set_value(value.to_string());
        pair
    };
    let mut sample = Sample::from_label(labels.iter().map(pair).collect());
    if !metric.is_histogram() {
        let mut counter = Counter::default();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floating point")]
        counter.set_value(totals.count as f64);
        sample.set_counter(counter);
        return sample;
    }
    let mut below = 0;
    let buckets = BUCKETS.iter().zip(&totals.buckets).map(|(bound, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(totals.count);
    histogram.set_sample_sum(totals.sum);
    sample.set_histogram(histogram);
    sample
}
