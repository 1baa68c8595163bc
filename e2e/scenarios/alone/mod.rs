//! Scenarios that disturb what all others stand on, or look at what all have left: they run one after the other, when the
//! others have ended.

mod outages;
mod process;
mod record;
