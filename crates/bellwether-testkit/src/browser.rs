//! A real browser, driven from a test.

/// placeholder
#[derive(Debug)]
pub struct Browser;
/// placeholder
#[derive(Debug)]
pub struct BrowserError;
/// placeholder
#[derive(Debug)]
pub struct Tab;
