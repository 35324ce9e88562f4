//! [`Delivery`]: what a subscription gives, an event's frame or a gap.

use crate::event::frame::Frame;
use crate::event::gap::Gap;

/// What a subscription delivers.
///
/// ```
/// use bellwether_topics::{Delivery, ServerSentEvent, Topics};
///
/// let topics = Topics::new();
/// let mut reader = topics.topic("news")?.subscribe().after("no cursor").open()?;
/// topics.topic("news")?.publish(&ServerSentEvent::text("hello"))?;
///
/// let mut deliveries = Vec::new();
/// while reader.try_frames(65_536, &mut deliveries) != bellwether_topics::Taken::CaughtUp {}
/// match &deliveries[..] {
///     [Delivery::Gap(gap), Delivery::Event(_)] => assert_eq!(gap.asked(), Some("no cursor")),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), bellwether_topics::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// An event.
    Event(Frame),
    /// History that the reader does not get; the next event is the first after [`Gap::cursor`].
    Gap(Gap),
}

impl Delivery {
    /// The event, if it is one.
    pub fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Event(frame) => Some(frame),
            Self::Gap(_) => None,
        }
    }

    /// The event, if it is one.
    pub fn into_frame(self) -> Option<Frame> {
        match self {
            Self::Event(frame) => Some(frame),
            Self::Gap(_) => None,
        }
    }

    /// The gap, if it is one.
    pub fn gap(&self) -> Option<&Gap> {
        match self {
            Self::Event(_) => None,
            Self::Gap(gap) => Some(gap),
        }
    }
}
