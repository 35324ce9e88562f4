//! Reading: the settings of a subscription, its stream of events and gaps, and where a client resumes.

pub(crate) mod resumption;
pub(crate) mod subscribe;
pub(crate) mod subscription;
