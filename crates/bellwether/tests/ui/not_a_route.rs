//! A function without its attribute, where a route is taken.

use bellwether::Application;

async fn page() -> &'static str {
    "page"
}

fn main() {
    let _ = Application::new().route(page).into_router();
}
