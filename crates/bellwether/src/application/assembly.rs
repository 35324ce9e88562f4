//! The router of an application with everything around it: probes, files, error pages, the layers.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router};

use super::{Application, ApplicationParts};
use crate::error::{Error, Result};
use crate::lifecycle::Lifecycle;
use crate::{error_page, events, files};

impl Application {
    /// The router with everything around it, and what the server needs.
    pub(crate) fn split(self) -> Result<(Router, ApplicationParts)> {
        let Self {
            mut router,
            mut parts,
        } = self;
        let mut readiness = std::mem::take(&mut parts.readiness);
        // axum would panic, and at a line that is none of the program's.
        let probes = [("health", &readiness.path), ("liveness", &parts.liveness)];
        for (setting, path) in probes {
            let taken = |path: &&String| parts.routes.iter().any(|route| route.has_path(path));
            if let Some(path) = path.as_ref().filter(taken) {
                let message =
                    format!("answer `{setting}` at {path}: a route has that path already");
                return Err(Error::configuration(message, None));
            }
        }
        if let Some(path) = readiness.path.take() {
            router = router.route(&path, readiness.route(|| !Lifecycle::current().is_ready()));
            parts.probes.push(path);
        }
        if let Some(path) = parts.liveness.take() {
            router = router.route(&path, crate::health::liveness());
            parts.probes.push(path);
        }
        if let Some(directory) = &parts.files {
            let files = files::serve_files(directory)
                .map_err(|e| Error::configuration("serve static files", Some(e.into())))?;
            // A router without files is kept for its fallback, which axum would replace.
            let files = files.or_fallback_of(router.clone());
            router = router.fallback_service(files);
        }
        // Each call of `Router::layer` costs every request a box and a copy of everything in it, so there are as few
        // as can be.
        let around = (
            Extension(Arc::new(parts.defaults.clone())),
            DefaultBodyLimit::max(parts.limits.max_body_bytes),
            error_page::error_pages(parts.defaults.show_error_details),
        );
        let router = if parts.wraps.is_empty() {
            router.layer((around, events::PendingEventsLayer))
        } else {
            router = router.layer(events::PendingEventsLayer);
            for wrap in parts.wraps.drain(..) {
                router = wrap(router);
            }
            router.layer(around)
        };
        Ok((router, parts))
    }
}
