//! The S3 client against a small server: what it asks, where, signed how; what it makes of the answers.

use super::super::place::{PlaceSettings, S3Place};
use super::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const KEY_ID: &str = "AKIAEXAMPLEKEY01";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

/// One request as it came.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// A server with one bucket. It answers every request as `moods` says, then as S3 does.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    requests: Vec<Request>,
    objects: BTreeMap<String, Vec<u8>>,
    /// Status and body of the next answers.
    moods: Vec<(u16, String)>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self {
            address: listener.local_addr().expect("bound"),
            shared: Arc::default(),
        };
        let shared = Arc::clone(&server.shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        server
    }

    fn requests(&self) -> Vec<Request> {
        self.shared.lock().expect("not poisoned").requests.clone()
    }

    /// The next answers, the last one first.
    fn answer(&self, moods: Vec<(u16, String)>) {
        self.shared.lock().expect("not poisoned").moods = moods;
    }

    fn set(&self, path: &str, content: &[u8]) {
        let mut shared = self.shared.lock().expect("not poisoned");
        shared.objects.insert(path.to_owned(), content.to_vec());
    }

    fn shelf(&self) -> Shelf {
        let objects = Objects::open(&Place::S3(place(self.address))).expect("opens");
        objects.shelf("hospital-0").expect("opens")
    }
}

fn place(address: SocketAddr) -> S3Place {
    let settings = PlaceSettings {
        url: Some("s3://sealed/ward/archive".to_owned()),
        endpoint: Some(format!("http://{address}")),
        region: Some("eu-central-1".to_owned()),
        allow_http: Some(true),
    };
    let env = [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        // The settings win.
        ("AWS_ENDPOINT_URL_S3", "https://elsewhere.example"),
        ("AWS_REGION", "us-west-2"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match settings.check(env) {
        Ok(Some(Place::S3(place))) => place,
        other => panic!("{other:?}"),
    }
}

async fn serve(stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream).await {
        let answer = shared.lock().expect("not poisoned").answer(request);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// None when the connection ends.
async fn receive(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers: BTreeMap<String, String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length");
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        method,
        path,
        headers,
        body,
    })
}

impl Shared {
    fn answer(&mut self, request: Request) -> Vec<u8> {
        self.requests.push(request.clone());
        if let Some((status, body)) = self.moods.pop() {
            return reply(status, "", body.as_bytes());
        }
        let path = request.path;
        match request.method.as_str() {
            "PUT" => {
                self.objects.insert(path, request.body);
                reply(200, "ETag: \"1\"\r\n", b"")
            }
            "DELETE" => {
                self.objects.remove(&path);
                reply(204, "", b"")
            }
            "GET" => match self.objects.get(&path) {
                None => reply(404, "", b"<Error><Code>NoSuchKey</Code></Error>"),
                Some(object) => read(object, request.headers.get("range")),
            },
            _ => reply(405, "", b""),
        }
    }
}

fn read(object: &[u8], range: Option<&String>) -> Vec<u8> {
    let about = "ETag: \"1\"\r\nLast-Modified: Mon, 02 Mar 2026 10:00:00 GMT\r\n";
    let Some(range) = range else {
        return reply(200, about, object);
    };
    let bounds = range.trim_start_matches("bytes=").split_once('-');
    let (from, to) = bounds.expect("a range");
    let (from, to): (usize, usize) = (from.parse().expect("a place"), to.parse().expect("a place"));
    if from >= object.len() {
        return reply(416, "", b"<Error><Code>InvalidRange</Code></Error>");
    }
    let to = to.min(object.len() - 1);
    let about = format!(
        "{about}Content-Range: bytes {from}-{to}/{}\r\n",
        object.len()
    );
    reply(206, &about, &object[from..=to])
}

fn reply(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = match status {
        204 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("HTTP/1.1 {status} Status\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

#[actix::test]
async fn objects_go_to_the_bucket_under_the_prefix_signed() {
    let server = Server::start().await;
    let shelf = server.shelf();
    shelf
        .put(NAME, parts(&["head", "body"]))
        .await
        .expect("put");
    let get = |part| shelf.get(NAME, part, 8, soon());
    assert_eq!(get(0..8).await.expect("whole"), "headbody");
    assert_eq!(get(2..6).await.expect("a part"), "adbo");
    shelf.remove(NAME).await.expect("removed");
    shelf.remove(NAME).await.expect("nothing to remove");
    let gone = get(0..8).await;
    assert!(
        matches!(gone, Err(ObjectsError::Missing { .. })),
        "{gone:?}"
    );

    let requests = server.requests();
    let methods: Vec<&str> = requests.iter().map(|one| one.method.as_str()).collect();
    assert_eq!(methods, ["PUT", "GET", "GET", "DELETE", "DELETE", "GET"]);
    for request in &requests {
        assert_eq!(request.path, "/sealed/ward/archive/hospital-0/one.pack");
        let signed = &request.headers["authorization"];
        assert!(
            signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/")),
            "{signed}"
        );
        assert!(signed.contains("/eu-central-1/s3/aws4_request"), "{signed}");
        assert!(!format!("{request:?}").contains(SECRET));
    }
    assert_eq!(requests[0].body, b"headbody");
    // The body's digest, which the signature covers.
    let digest = &requests[0].headers["x-amz-content-sha256"];
    assert_eq!(
        digest,
        "7b02d51000b5a185a616159dd2f9ddc53ab96db00006c10aa01be6fb044e8eef"
    );
    assert_eq!(requests[1].headers.get("range"), None);
    assert_eq!(requests[2].headers["range"], "bytes=2-5");
}

#[actix::test]
async fn an_object_that_was_cut_off_is_not_read() {
    let server = Server::start().await;
    let shelf = server.shelf();
    server.set("/sealed/ward/archive/hospital-0/one.pack", b"01234");
    let get = |part| shelf.get(NAME, part, 10, soon());
    for part in [0..10, 2..4, 3..8] {
        let cut = get(part).await;
        assert!(
            matches!(
                cut,
                Err(ObjectsError::Length {
                    found: 5,
                    expected: 10,
                    ..
                })
            ),
            "{cut:?}"
        );
    }
    let behind = get(6..8).await;
    assert!(
        matches!(
            behind,
            Err(ObjectsError::Failed {
                deed: Deed::Read,
                ..
            })
        ),
        "{behind:?}"
    );
}

#[actix::test]
async fn a_busy_store_is_asked_again_and_a_broken_one_not_for_ever() {
    let server = Server::start().await;
    let shelf = server.shelf();
    let busy = || (503, "<Error><Code>SlowDown</Code></Error>".to_owned());
    server.answer(vec![busy(), busy()]);
    shelf
        .put(NAME, parts(&["body"]))
        .await
        .expect("at the third try");
    assert_eq!(server.requests().len(), 3);

    server.answer(vec![busy(); 50]);
    let began = Instant::now();
    let refused = shelf.put(NAME, parts(&["body"])).await;
    let Err(ObjectsError::Failed { reason, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("503"), "{reason}");
    assert_eq!(server.requests().len(), 3 + 5);
    assert!(began.elapsed() < WRITTEN_WITHIN);
}

/// Some stores answer with what they were sent.
#[actix::test]
async fn a_refusal_is_told_without_the_credentials_in_it() {
    let server = Server::start().await;
    let shelf = server.shelf();
    let said = format!("<Error><Code>SignatureDoesNotMatch</Code>{KEY_ID} {SECRET}</Error>");
    server.answer(vec![(403, said)]);
    let refused = shelf
        .put(NAME, parts(&["body"]))
        .await
        .expect_err("refused");
    let text = format!("{refused} {refused:?}");
    assert!(
        text.contains("SignatureDoesNotMatch") && text.contains("<redacted>"),
        "{text}"
    );
    assert!(!text.contains(KEY_ID) && !text.contains(SECRET), "{text}");
    assert_eq!(
        server.requests().len(),
        1,
        "the same again would be refused again"
    );
}

#[actix::test]
async fn a_store_out_of_reach_fails_what_is_asked_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let objects = Objects::open(&Place::S3(place(address))).expect("nothing is asked yet");
    let shelf = objects.shelf("hospital-0").expect("opens");
    let refused = shelf.put(NAME, parts(&["body"])).await;
    assert!(
        matches!(
            refused,
            Err(ObjectsError::Failed {
                deed: Deed::Write,
                ..
            })
        ),
        "{refused:?}"
    );
}

/// The client for https is made with ring, and without it there would be none: it has no provider of its own.
#[actix::test]
async fn an_encrypted_store_is_spoken_to_in_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let settings = PlaceSettings {
        url: Some("s3://sealed".to_owned()),
        endpoint: Some(format!("https://{address}")),
        ..PlaceSettings::default()
    };
    let env = [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let place = settings.check(env).expect("good").expect("a place");
    let shelf = Objects::open(&place)
        .expect("opens")
        .shelf("hospital-0")
        .expect("opens");
    let writing = tokio::spawn(async move { shelf.put(NAME, parts(&["body"])).await });
    let (mut stream, _) = listener.accept().await.expect("it connects");
    let mut first = [0; 3];
    stream.read_exact(&mut first).await.expect("it speaks");
    // A handshake record of TLS; the version in it is that of TLS 1.0 for old middleboxes.
    assert_eq!(first, [0x16, 0x03, 0x01]);
    writing.abort();
}
