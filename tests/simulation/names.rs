//! What the proxy calls the servers. In runs with TLS to servers each `localhost:N` has a twin
//! `https://localhost:N`, which is another server; most often one of the two is listed.

use super::sites::SITES_PER_NAME;

#[derive(Clone, Copy, Debug, Default)]
pub struct Names {
    pub count: usize,
    /// So many are spoken to in the clear, and come first.
    clear: usize,
}

impl Names {
    pub fn new(clear: usize, has_twins: bool) -> Names {
        Names { count: if has_twins { 2 * clear } else { clear }, clear }
    }

    /// Whether it is spoken to in TLS.
    pub fn is_secured(self, name: usize) -> bool {
        name >= self.clear
    }

    /// The same server in the clear, or in TLS.
    pub fn twin(self, name: usize) -> Option<usize> {
        let twin = if self.is_secured(name) { name - self.clear } else { name + self.clear };
        Some(twin).filter(|&twin| twin < self.count)
    }

    pub fn port(self, name: usize) -> u16 {
        let place = if self.is_secured(name) { name - self.clear } else { name };
        place as u16 + 1
    }

    /// The `Host` of requests to the server of this site that have none.
    pub fn authority(self, site: usize) -> String {
        format!("localhost:{}", self.port(site / SITES_PER_NAME))
    }

    /// As the proxy logs it.
    pub fn text(self, name: usize) -> String {
        let scheme = if self.is_secured(name) { "https://" } else { "" };
        format!("{scheme}localhost:{}", self.port(name))
    }

    /// The server that the proxy calls so.
    pub fn find(self, text: &str) -> Option<usize> {
        (0..self.count).find(|&name| self.text(name) == text)
    }

    /// The same; all that the proxy names are servers.
    pub fn known(self, text: &str) -> usize {
        self.find(text).unwrap_or_else(|| panic!("no server is called {text:?}"))
    }
}
