vcl 4.1;

backend default {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_recv {
    # Fetched as a file would be, each stream is cut after 600 s. HTTP/2 knows no pipe and fetches all the same.
    if (req.http.Accept ~ "text/event-stream") {
        return (pipe);
    }
}

sub vcl_pipe {
    # So that a later request on the connection is looked at again.
    set bereq.http.Connection = "close";
}

sub vcl_backend_response {
    # gzip holds events back until the stream ends.
    if (beresp.http.Content-Type ~ "text/event-stream") {
        set beresp.do_gzip = false;
    }
}
