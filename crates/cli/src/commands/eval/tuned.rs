//! Whether the network is better than a counter of spots whose settings were chosen by hindsight.

use std::cmp::Ordering;

use hitgate_import::metrics::{Filtered, Share};
use hitgate_spots::Settings;

use super::counters::{Beside, Counted};
use super::figures::Figures;
use crate::report::counts;

/// The counter at `place` beside the network: by the area under the ROC curve, then where both drop as
/// many misses. A line for all frames, by one of its settings for all, then one a set, each with its own.
pub fn print(sets: &[Figures], place: usize) {
    let tried = sets[0].counted[place].counter.settings().len();
    say!(
        "\nIs the network better than `spots`, however its settings are fixed? Of {tried} settings (those of\n\
         `spots --tune`) each line takes the best at its figure, found on its very frames: that flatters `spots`."
    );
    print_areas(sets, place);
    let at = |words: &str, of: &dyn Fn(&Counted) -> &Beside| {
        say!("\nwhere `spots` drops at least {words} of the misses, and the network as many");
        print_kept(sets, &|figures| of(&figures.counted[place]));
    };
    at("the network's share", &|counted| &counted.at_threshold);
    for (number, (share, _)) in sets[0].counted[place].rejecting.iter().enumerate() {
        at(&format!("{share:.2}"), &|counted| {
            &counted.rejecting[number].1
        });
    }
    say!(
        "\nt, snr, px, from: counts above the mean, signal to noise, fewest pixels, spots that a frame is kept from.\n\
         The network is better where it keeps more hits or maybes. Where its scores tie it drops more, never fewer."
    );
}

fn print_areas(sets: &[Figures], place: usize) {
    say!("\nby the area under the ROC curve, hit or maybe against miss");
    say!("{:<16} {}  spots   network", "set", SETTINGS);
    let mut tally = Tally::default();
    for figures in sets {
        let counted = &figures.counted[place];
        let area = |area: Option<f64>| area.map_or("–".into(), |area| format!("{area:.4}"));
        let compared = figures.auc.zip(counted.auc);
        let order = compared.and_then(|(network, spots)| network.partial_cmp(&spots));
        say!(
            "{:<16} {}  {:<7} {:<7} {}",
            figures.set,
            columns(counted.own.settings.filter(|_| order.is_some())),
            area(counted.auc),
            area(figures.auc),
            tally.enter(&figures.set, order)
        );
    }
    tally.print();
}

fn print_kept(sets: &[Figures], of: &dyn Fn(&Figures) -> &Beside) {
    say!(
        "{:<16} {} from  {:<16} {:<16} {:<16} {:<16} network's",
        "set",
        SETTINGS,
        "misses dropped",
        "hits kept",
        "network's",
        "hit or maybe",
    );
    let mut tally = Tally::default();
    for figures in sets {
        let Beside {
            settings,
            kept,
            network,
        } = of(figures);
        let spots = kept.filtered;
        let network = network.as_ref().map(|network| network.filtered);
        let order = network
            .filter(|network| network.wanted_kept.n > 0)
            .map(|network| network.wanted_kept.k.cmp(&spots.wanted_kept.k));
        let of_network =
            |share: fn(Filtered) -> Share| network.map_or("–".into(), |n| counts(share(n)));
        say!(
            "{:<16} {} {:>4}  {:<16} {:<16} {:<16} {:<16} {:<16} {}",
            figures.set,
            columns(settings.filter(|_| order.is_some())),
            order.map_or("–".into(), |_| kept.spots.to_string()),
            counts(spots.misses_dropped),
            counts(spots.hits_kept),
            of_network(|network| network.hits_kept),
            counts(spots.wanted_kept),
            of_network(|network| network.wanted_kept),
            tally.enter(&figures.set, order)
        );
    }
    tally.print();
}

const SETTINGS: &str = "  t snr px";

/// The settings of the best figure; where there is none, no settings are better than others.
fn columns(settings: Option<Settings>) -> String {
    let Some(Settings {
        threshold,
        snr,
        min_pixels,
        ..
    }) = settings
    else {
        return format!("{:>3} {:>3} {:>2}", "–", "–", "–");
    };
    format!("{threshold:>3} {snr:>3} {min_pixels:>2}")
}

/// How the network compares with the counter, set by set.
#[derive(Default)]
struct Tally<'s>(Vec<(&'s str, Option<Ordering>)>);

impl<'s> Tally<'s> {
    /// Enters a set, and returns the word for it.
    fn enter(&mut self, set: &'s str, order: Option<Ordering>) -> &'static str {
        self.0.push((set, order));
        match order {
            Some(Ordering::Greater) => "better",
            Some(Ordering::Equal) => "equal",
            Some(Ordering::Less) => "worse",
            None => "–",
        }
    }

    /// On how many sets the network is better, and on which it is not.
    fn print(&self) {
        // The first is of all frames.
        let sets = &self.0[1..];
        let on = |order: Option<Ordering>| {
            let alike = sets.iter().filter(move |(_, found)| *found == order);
            alike.map(|(set, _)| *set).collect::<Vec<_>>()
        };
        let better = on(Some(Ordering::Greater)).len();
        let mut words = format!("the network is better on {better} of {} sets", sets.len());
        for (word, sets) in [
            ("equal", on(Some(Ordering::Equal))),
            ("worse", on(Some(Ordering::Less))),
            ("nothing to compare", on(None)),
        ] {
            if !sets.is_empty() {
                words += &format!("; {word} on {}", sets.join(", "));
            }
        }
        say!("{words}");
    }
}
