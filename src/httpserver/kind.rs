//! Content types by file name extension.

use std::path::Path;

/// For what no extension tells.
pub const BYTES: &str = "application/octet-stream";
/// An HTML page.
pub const HTML: &str = "text/html; charset=utf-8";
/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// The `Content-Type` of the file at `path`; the extension's case does not count.
pub fn of(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => HTML,
        "txt" | "text" | "log" | "md" | "conf" => TEXT,
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "tar" => "application/x-tar",
        _ => BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_extension_in_any_case_decides() {
        let table = [
            ("a.html", HTML),
            ("a.txt.HTM", HTML),
            ("a.png", "image/png"),
            ("abc", BYTES),
            (".html", BYTES),
            ("a.", BYTES),
        ];
        for (name, expected) in table {
            assert_eq!(of(Path::new(name)), expected, "{name}");
        }
    }
}
