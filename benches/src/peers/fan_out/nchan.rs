//! nginx with nchan, as Debian packages them, in one process of its own.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::options::Options;

const PROGRAM: &str = "/usr/sbin/nginx";
const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) fn prepare(_: &Options) -> Result<(), String> {
    for (file, package) in [(PROGRAM, "nginx"), (MODULE, "libnginx-mod-nchan")] {
        if !Path::new(file).exists() {
            return Err(format!("{file} is missing (Debian package {package})"));
        }
    }
    Ok(())
}

/// Becomes nginx: what is accounted to this process is nginx's.
pub(super) fn serve() -> io::Result<()> {
    // nginx cannot report which port the system chose; this one was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let folder = super::build_folder("nchan")?;
    fs::create_dir_all(&folder)?;
    let configuration = folder.join("nginx.conf");
    let mut text = format!(
        "load_module {MODULE};\n\
         daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 18000; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n"
    );
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "  {name}_temp_path {name};").map_err(io::Error::other)?;
    }
    write!(
        text,
        "  server {{\n    listen {address} backlog=4096;\n\
         \x20   location = /events {{ nchan_subscriber eventsource; nchan_channel_id news; \
         nchan_subscriber_first_message newest; nchan_eventsource_ping_interval {}; }}\n\
         \x20   location = /publish {{ nchan_publisher; nchan_channel_id news; \
         nchan_message_buffer_length {}; }}\n  }}\n}}\n",
        super::KEEP_ALIVE.as_secs(),
        super::BACKLOG,
    )
    .map_err(io::Error::other)?;
    fs::write(&configuration, text)?;
    super::announce(address)?;
    let mut nginx = ends_with_its_parent(PROGRAM);
    nginx.arg("-p").arg(&folder).arg("-c").arg(&configuration);
    Err(nginx.stdout(Stdio::null()).exec())
}

/// Starts a program that the kernel ends when the bench is gone.
pub(super) fn ends_with_its_parent(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
