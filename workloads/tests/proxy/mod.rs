//! Something between a client and a server that cuts connections at the worst time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes everything on, until it is told to cut.
pub struct Proxy {
    port: u16,
    /// The number of the answer to come that will be a cut; zero for none.
    cut: Arc<AtomicU32>,
}

impl Proxy {
    /// Listens for clients of `server`, for as long as the runtime runs.
    pub async fn start(server: &str) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let cut = Arc::new(AtomicU32::new(0));
        let (server, shared) = (server.to_owned(), cut.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server");
                tokio::spawn(pass_on(client, server, shared.clone()));
            }
        });
        Proxy { port, cut }
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Breaks the connection instead of passing the server's answer `nth` from now on, if they come
    /// one by one.
    pub fn cut_instead_of_answer(&self, nth: u32) {
        self.cut.store(nth, Ordering::SeqCst);
    }

    /// Whether the cut was made.
    pub fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == 0
    }
}

/// Ends, and so breaks both connections, when one of them ends or is to be cut.
async fn pass_on(mut client: TcpStream, mut server: TcpStream, cut: Arc<AtomicU32>) {
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(length) if length > 0 => {
                    if server.write_all(&asked[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(length) if length > 0 => {
                    let before = cut.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |nth| {
                        nth.checked_sub(1)
                    });
                    if before == Ok(1) || client.write_all(&answered[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
