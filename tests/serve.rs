//! `locktest serve`, asked over plain TCP.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use support::{Bench, Running};

/// A store with two runs, served.
struct Site {
    bench: Bench,
    running: Running,
    address: String,
}

/// An answer, its head and its body apart.
struct Answer {
    head: String,
    body: String,
}

impl Site {
    fn start() -> Site {
        let bench = Bench::new();
        let line = "run --backend sim --clients 2 --time-limit 1s";
        bench.run(&format!("{line} --seed 1")).expect_code(0);
        bench.run(&format!("{line} --seed 2 --sim-bug double-grant")).expect_code(1);
        let mut running = bench.start("serve --bind 127.0.0.1:0");
        running.wait_for(", until Ctrl-C", Duration::from_secs(10));
        let stderr = running.stderr();
        let address = stderr.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.expect("an address").to_owned();
        Site { bench, running, address }
    }

    /// The bytes of a request, sent as they are.
    fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answered");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let body = answer.get(end + 4..).unwrap_or_default();
        let body = match head.contains("transfer-encoding: chunked") {
            true => dechunked(body),
            false => body.to_vec(),
        };
        Answer { head, body: String::from_utf8_lossy(&body).into_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        let host = &self.address;
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    /// The name of the run with a seed.
    fn run(&self, seed: u64) -> String {
        let entries = fs::read_dir(self.bench.path().join("store")).expect("a store");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names = names.map(|name| name.to_string_lossy().into_owned());
        names.find(|name| name.ends_with(&format!("-{seed}"))).expect("a run")
    }

    fn stop(mut self) {
        self.running.signal("-INT");
        assert_eq!(self.running.wait(Duration::from_secs(10)), Some(0));
    }
}

/// A file comes in pieces, each with its length before it; their ends may be anywhere in a word.
fn dechunked(mut chunked: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = chunked.windows(2).position(|two| two == b"\r\n").expect("a chunk's length");
        let length = std::str::from_utf8(&chunked[..end]).expect("hexadecimal digits");
        let length = usize::from_str_radix(length, 16).expect("hexadecimal digits");
        if length == 0 {
            return whole;
        }
        whole.extend(&chunked[end + 2..end + 2 + length]);
        chunked = &chunked[end + 4 + length..];
    }
}

impl Answer {
    #[track_caller]
    fn expect(self, status: u16) -> Answer {
        assert!(self.head.starts_with(&format!("http/1.1 {status}")), "{}", self.head);
        self
    }
}

#[test]
fn the_runs_are_listed_filtered_and_shown() {
    let site = Site::start();
    let index = site.get("/").expect(200);
    let (held, violated) = (site.run(1), site.run(2));
    assert!(index.body.contains(&held) && index.body.contains(&violated), "{}", index.body);
    let filtered = site.get("/?state=violated&sort=seed&backend=&faults=").expect(200);
    let table = filtered.body.split("<h2>").next().expect("a table");
    assert!(table.contains(&violated) && !table.contains(&held), "{table}");
    let report = site.get(&format!("/runs/{violated}/report.html")).expect(200);
    assert!(report.body.contains("double-grant"), "{}", report.head);
    let links = report.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let links: Vec<&str> = links.collect();
    assert!(links.contains(&"history") && links.contains(&"logs/c1.log"), "{links:?}");
    for link in links {
        site.get(&format!("/runs/{violated}/{link}")).expect(200);
    }
    site.get(&format!("/runs/{held}/verdict.json")).expect(200);
    site.get("/runs/").expect(200);
    site.stop();
}

#[test]
fn no_path_leads_out_of_the_store_or_to_what_is_not_shown() {
    let site = Site::start();
    fs::write(site.bench.path().join("secret"), "secret").expect("written");
    let run = site.run(1);
    for path in [
        "/runs/../secret".to_owned(),
        "/runs/%2e%2e/secret".into(),
        "/runs/..%2fsecret".into(),
        format!("/runs/{run}/../../secret"),
        format!("/runs/{run}/%2e%2e%2f%2e%2e%2fsecret"),
        format!("/runs/{run}/logs/..%2f..%2f..%2fsecret"),
        format!("/runs/{run}/logs/%2e%2e"),
        format!("/runs/{run}/.lock"),
        format!("/runs/{run}"),
        format!("/runs/{run}/"),
        "/runs/%00".into(),
        "//etc/passwd".into(),
        "/etc/passwd".into(),
    ] {
        let answer = site.get(&path);
        assert!(answer.head.starts_with("http/1.1 404"), "{path}: {}", answer.head);
        assert!(!answer.body.contains("secret"), "{path}");
    }
    site.stop();
}

#[test]
fn every_answer_has_the_headers_that_keep_a_page_to_itself() {
    let site = Site::start();
    for path in ["/", "/runs/", "/nothing", "/?sort=%0d%0aset-cookie:%20a=b"] {
        let head = site.get(path).head;
        for header in [
            "content-security-policy: default-src 'none'",
            "script-src 'sha256-",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
        ] {
            assert!(head.contains(header), "{path}: {head}");
        }
        assert!(!head.contains("set-cookie"), "{path}: {head}");
    }
    site.stop();
}

#[test]
fn nothing_but_reading_is_answered_and_only_by_the_own_name() {
    let site = Site::start();
    let host = &site.address;
    for method in ["POST", "PUT", "DELETE"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        site.send(&request).expect(405);
    }
    site.send("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").expect(421);
    site.stop();
}

#[test]
fn two_hundred_readers_at_once_are_all_answered() {
    let site = Site::start();
    let run = site.run(2);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..200)
            .map(|reader| {
                let (site, run) = (&site, &run);
                scope.spawn(move || match reader % 2 {
                    0 => site.get("/").expect(200).body.len(),
                    _ => site.get(&format!("/runs/{run}/report.html")).expect(200).body.len(),
                })
            })
            .collect();
        for reader in readers {
            assert!(reader.join().expect("an answer") > 1000);
        }
    });
    site.stop();
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let ran = Bench::new().run("serve --store nowhere").expect_code(2);
    assert!(ran.stderr.contains("nowhere is not a folder of runs"), "{}", ran.stderr);
}
