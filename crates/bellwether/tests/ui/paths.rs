//! Attributes with a path that no router would take.

use bellwether::{delete, get, patch, post, put};

#[get]
fn missing() {}

#[get("events")]
fn without_slash() {}

#[post(EVENTS)]
fn not_a_literal() {}

#[put("/users/:id")]
fn old_capture() {}

#[patch("/users/{id")]
fn open_brace() {}

#[delete("/users/{id}", stat = App)]
fn unknown_option() {}

fn main() {}
