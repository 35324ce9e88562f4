//! The door of the fuzz targets to what is pure within the crate. It is open only where `cargo fuzz` builds.

use crate::stream::machine::simulation::{self, SimulationInput};

/// How a stream is set: its times are milliseconds, `phase` and `share` parts of 256.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The interval of its keep-alive, if it has one.
    pub keep_alive: Option<u32>,
    /// Its position among the streams that opened together.
    pub phase: u8,
    /// Its position in the window of a stop.
    pub share: u8,
    /// The window.
    pub window: u32,
    /// How many streams the window is for.
    pub streams: u64,
    /// Whether its end says that it is finished.
    pub finishes: bool,
    /// Whether a stop lets it run to its own end.
    pub lets_finish: bool,
}

/// Plays a stream by the inputs that pairs of a kind and milliseconds name.
///
/// # Panics
///
/// When a rule of streams is broken.
pub fn simulate_stream(settings: Settings, inputs: impl IntoIterator<Item = (u8, u16)>) {
    let Settings {
        keep_alive,
        phase,
        share,
        window,
        streams,
        finishes,
        lets_finish,
    } = settings;
    let settings = simulation::SimulationSettings {
        keep_alive,
        phase,
        share,
        window,
        streams,
        finishes,
        lets_finish,
    };
    let inputs: Vec<SimulationInput> = inputs
        .into_iter()
        .map(|(kind, millis)| SimulationInput::new(kind, millis))
        .collect();
    simulation::simulate(settings, &inputs);
}
