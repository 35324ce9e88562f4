//! Short words for the observed behaviour of a client.

use std::time::Duration;

use super::driver::Event;
use super::scenario::{Scenario, Seen};
use crate::payload::{LINES, TEXT};
use crate::server::RETRY;

/// The prefix of the names of the server's own events.
const OWN: &str = "bellwether.";

/// Ends that are no errors: the client reports that it is done.
const GOOD_ENDS: [&str; 3] = ["over", "closed", "ended"];

impl Seen {
    /// The events without the server's own.
    fn events(&self) -> Vec<&Event> {
        let events = self.heard.events.iter();
        events
            .filter(|event| !event.event.starts_with(OWN))
            .collect()
    }

    fn has_own(&self, name: &str) -> bool {
        let name = format!("{OWN}{name}");
        self.heard.events.iter().any(|event| event.event == name)
    }

    /// How many of the expected events came, whole.
    pub(crate) fn count(&self) -> usize {
        let events = self.events();
        let came = |text: &&String| events.iter().any(|event| event.data == **text);
        self.expected.iter().filter(came).count()
    }

    /// `exact` if every event came once and in order, or what is wrong.
    fn exactness(&self) -> String {
        let got: Vec<&str> = self
            .events()
            .iter()
            .map(|event| event.data.as_str())
            .collect();
        if got == self.expected {
            return "exact".to_owned();
        }
        let (all, came) = (self.expected.len(), self.count());
        let odd = got
            .iter()
            .filter(|data| !self.expected.iter().any(|text| text == **data))
            .count();
        let mut faults = Vec::new();
        if came < all {
            faults.push(format!("lost {} of {all}", all - came));
        }
        if odd > 0 {
            faults.push(format!("{odd} odd"));
        }
        let again = got.len() - odd - came;
        if again > 0 {
            faults.push(format!("{again} twice"));
        }
        if faults.is_empty() {
            faults.push("out of order".to_owned());
        }
        if let Some(end) = self.heard.end.as_deref().filter(|_| came < all) {
            faults.push(match GOOD_ENDS.contains(&end) {
                true => "ends".to_owned(),
                false => format!("ends: {end}"),
            });
        }
        faults.join(", ")
    }

    /// Whether events have ids of their own, as far as the client shows them.
    pub(crate) fn ids(&self) -> String {
        let events = self.events();
        let numbered = events
            .iter()
            .filter(|event| event.data.contains("\"number\""));
        let ids: Vec<&str> = numbered.map(|event| event.id.as_str()).collect();
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let expected = self
            .expected
            .iter()
            .filter(|text| text.contains("\"number\""));
        let expected = expected.count();
        if ids.iter().all(|id| id.is_empty()) && ids.len() == expected {
            "exact, ids hidden".to_owned()
        } else if ids.len() == expected && distinct.len() == expected && !distinct.contains(&"") {
            "exact".to_owned()
        } else {
            format!("{} of {expected}", distinct.len())
        }
    }

    /// Whether data of several lines arrived unchanged.
    pub(crate) fn lines(&self) -> String {
        self.whole(LINES)
    }

    /// Whether data in several scripts arrived unchanged.
    pub(crate) fn text(&self) -> String {
        self.whole(TEXT)
    }

    fn whole(&self, text: &str) -> String {
        let came = self.events().iter().any(|event| event.data == text);
        if came { "exact" } else { "damaged" }.to_owned()
    }

    /// Whether all came over one connection.
    pub(crate) fn quiet(&self) -> String {
        let exactness = self.exactness();
        match self.requests.len() {
            0 | 1 => exactness,
            _ => format!("{exactness}, reconnects"),
        }
    }

    /// The wait before the client comes back, beside the delay that the server sent.
    pub(crate) fn retry(&self) -> String {
        let waits = self.requests.windows(2).map(|pair| {
            let end = pair[0].last.unwrap_or(pair[0].at);
            pair[1].at.saturating_duration_since(end)
        });
        // A busy machine makes waits longer, never shorter.
        let Some(wait) = waits.min() else {
            return "does not come back".to_owned();
        };
        let (least, most) = (RETRY.mul_f32(0.8), RETRY + Duration::from_millis(900));
        if (least..most).contains(&wait) {
            "kept".to_owned()
        } else if wait < least {
            "sooner".to_owned()
        } else {
            format!("waits {:.0} s", wait.as_secs_f32())
        }
    }

    pub(crate) fn gap(&self) -> String {
        let exactness = self.exactness();
        match (self.has_own("gap"), exactness.as_str()) {
            (true, "exact") => "told".to_owned(),
            (true, _) => format!("told, {exactness}"),
            (false, _) => format!("hidden, {exactness}"),
        }
    }

    pub(crate) fn error(&self) -> String {
        let told = if self.has_own("error") {
            "told"
        } else {
            "hidden"
        };
        let after = if self.requests.len() > 1 {
            "comes back".to_owned()
        } else {
            match self.heard.end.as_deref() {
                Some(end) if !GOOD_ENDS.contains(&end) => format!("ends: {end}"),
                Some(_) => "ends".to_owned(),
                None => "waits".to_owned(),
            }
        };
        format!("{told}, {after}")
    }

    pub(crate) fn finish(&self) -> String {
        let after = match self.heard.end.as_deref() {
            Some(end) if GOOD_ENDS.contains(&end) => "ends".to_owned(),
            Some(end) => format!("ends: {end}"),
            None => "goes on".to_owned(),
        };
        match self.exactness().as_str() {
            "exact" => after,
            other => format!("{after}, {other}"),
        }
    }

    /// Whether the events that it got over several connections are complete.
    pub(crate) fn resumed(&self) -> String {
        self.exactness()
    }

    /// An answer of a chat model: its words, then the reason for which it ended.
    pub(crate) fn chat(&self) -> String {
        let got: Vec<&str> = self
            .events()
            .iter()
            .map(|event| event.data.as_str())
            .collect();
        let words = ["All ", "is ", "Ångström ", "well"];
        let end = self.heard.end.as_deref().unwrap_or("goes on");
        let is_whole = got.len() == 5 && got[..4] == words;
        match (is_whole, end) {
            (true, "over") => "exact".to_owned(),
            (true, _) => format!("exact, then {end}"),
            (false, _) => format!("{} of 5, then {end}", got.len()),
        }
    }

    /// An answer that fails on the way: whether the user gets the reason.
    pub(crate) fn chat_error(&self) -> String {
        let end = self.heard.end.as_deref().unwrap_or("goes on");
        match self.heard.message.contains("the bells are away") {
            true => format!("told: {end}"),
            false => format!("hidden: {end}"),
        }
    }
}

/// What the client got less of than from the minimal server, or that it got as much.
///
/// Each pair is a scenario with how many events came, from Bellwether and from the minimal server.
pub(crate) fn beside_minimal(counts: &[(Scenario, usize, usize)]) -> (String, bool) {
    let is_in = |order: fn(&usize, &usize) -> bool| {
        let found = counts
            .iter()
            .filter(move |(_, ours, theirs)| order(ours, theirs));
        let found = found.map(|(scenario, ours, theirs)| {
            let name = format!("{scenario:?}").to_lowercase();
            format!("{ours}, not {theirs}, in {name}")
        });
        found.collect::<Vec<String>>()
    };
    let (fewer, more) = (is_in(usize::lt), is_in(usize::gt));
    let words = match (fewer.is_empty(), more.is_empty()) {
        (true, true) => "as many".to_owned(),
        (true, false) => format!("more: {}", more.join("; ")),
        (false, _) => format!("fewer: {}", fewer.join("; ")),
    };
    (words, fewer.is_empty())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::driver::Heard;
    use super::*;
    use crate::payload::{numbered, numbers};
    use crate::tcp_proxy::Request;

    fn event(id: &str, name: &str, data: &str) -> Event {
        Event {
            id: id.to_owned(),
            event: name.to_owned(),
            data: data.to_owned(),
        }
    }

    fn seen(data: &[&str], end: Option<&str>) -> Seen {
        let events = data.iter().map(|data| event("", "message", data));
        Seen {
            heard: Heard {
                events: events.collect(),
                end: end.map(str::to_owned),
                message: String::new(),
            },
            expected: numbers(1, 3),
            requests: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_exact_is_counted() {
        let [one, two, three] = [1, 2, 3].map(numbered);
        let (one, two, three) = (one.as_str(), two.as_str(), three.as_str());
        assert_eq!(seen(&[one, two, three], None).resumed(), "exact");
        assert_eq!(seen(&[one, two, two, three], None).resumed(), "1 twice");
        assert_eq!(seen(&[two, one, three], None).resumed(), "out of order");
        assert_eq!(
            seen(&[one, "", three], None).resumed(),
            "lost 1 of 3, 1 odd"
        );
        assert_eq!(seen(&[one], Some("over")).resumed(), "lost 2 of 3, ends");
        assert_eq!(
            seen(&[one], Some("ReadError")).resumed(),
            "lost 2 of 3, ends: ReadError"
        );
    }

    #[test]
    fn events_that_the_server_speaks_of_itself_with_are_not_counted() {
        let mut seen = seen(&[], None);
        seen.heard.events.push(event("", "bellwether.gap", "{}"));
        for number in 1..=3 {
            let data = numbered(number);
            seen.heard
                .events
                .push(event(&number.to_string(), "message", &data));
        }
        assert_eq!(seen.gap(), "told");
        assert_eq!(seen.ids(), "exact");
        assert_eq!(seen.count(), 3);
    }

    #[test]
    fn a_wait_is_what_was_asked_for_or_said_in_seconds() {
        let start = Instant::now();
        let after = |wait: Duration| {
            let mut seen = seen(&[], None);
            let request = |at| Request {
                at,
                head: String::new(),
                last: Some(at),
            };
            seen.requests = vec![request(start), request(start + wait)];
            seen.retry()
        };
        assert_eq!(after(RETRY), "kept");
        assert_eq!(after(Duration::from_millis(10)), "sooner");
        assert_eq!(after(Duration::from_millis(2900)), "waits 3 s");
        assert_eq!(seen(&[], None).retry(), "does not come back");
    }

    #[test]
    fn a_finish_is_an_end_that_stays() {
        let data = numbers(1, 3);
        let data: Vec<&str> = data.iter().map(String::as_str).collect();
        assert_eq!(seen(&data, Some("closed")).finish(), "ends");
        assert_eq!(seen(&data, Some("SSEError")).finish(), "ends: SSEError");
        assert_eq!(seen(&data, None).finish(), "goes on");
    }

    #[test]
    fn less_than_from_the_minimal_server_is_never_well() {
        use Scenario::{Cut, Drain, Plain};
        let (words, is_good) = beside_minimal(&[(Plain, 23, 23), (Drain, 20, 8)]);
        assert_eq!(
            (words.as_str(), is_good),
            ("more: 20, not 8, in drain", true)
        );
        let (words, is_good) = beside_minimal(&[(Plain, 23, 23), (Cut, 19, 20)]);
        assert_eq!(
            (words.as_str(), is_good),
            ("fewer: 19, not 20, in cut", false)
        );
    }
}
