//! A VNC server that says what a test tells it to, as RFC 6143 writes it on the wire.

use nightshift_screen::Screen;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

/// What a client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FromClient {
    Request { incremental: bool },
    Key { keysym: u32, down: bool },
    Pointer { x: u16, y: u16, buttons: u8 },
}

pub(crate) struct Server {
    writer: WriteHalf<DuplexStream>,
    said: mpsc::UnboundedReceiver<FromClient>,
}

impl Server {
    /// Greets a screen that attaches.
    pub(crate) async fn with_screen(width: u16, height: u16) -> (Self, Screen) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (screen, stream) = tokio::join!(Screen::attach_vnc(ours), greeting(theirs, width, height));
        let (reader, writer) = tokio::io::split(stream);
        let (tell, said) = mpsc::unbounded_channel();
        tokio::spawn(read(reader, tell));
        (Self { writer, said }, screen.unwrap())
    }

    /// The next that the client says.
    pub(crate) async fn next(&mut self) -> FromClient {
        self.said.recv().await.unwrap()
    }

    /// The next request for a picture.
    pub(crate) async fn next_request(&mut self) -> FromClient {
        loop {
            let said = self.next().await;
            if matches!(said, FromClient::Request { .. }) {
                return said;
            }
        }
    }

    /// The next keys and pointers.
    pub(crate) async fn next_inputs(&mut self, count: usize) -> Vec<FromClient> {
        let mut inputs = Vec::new();
        while inputs.len() < count {
            let said = self.next().await;
            if !matches!(said, FromClient::Request { .. }) {
                inputs.push(said);
            }
        }
        inputs
    }

    /// Sends one update with rectangles of one value each.
    pub(crate) async fn update(&mut self, rects: &[(u16, u16, u16, u16, u8)]) {
        let mut message = vec![0, 0];
        message.extend(u16::try_from(rects.len()).unwrap().to_be_bytes());
        for (x, y, width, height, value) in rects {
            message.extend([x, y, width, height].into_iter().flat_map(|side| side.to_be_bytes()));
            message.extend(0_i32.to_be_bytes());
            message.extend([*value, *value, *value, 0].repeat(usize::from(*width) * usize::from(*height)));
        }
        self.raw(&message).await;
    }

    /// Says that the screen has another size (pseudo-encoding -223).
    pub(crate) async fn resize(&mut self, width: u16, height: u16) {
        let mut message = vec![0, 0, 0, 1, 0, 0, 0, 0];
        message.extend([width, height].into_iter().flat_map(u16::to_be_bytes));
        message.extend((-223_i32).to_be_bytes());
        self.raw(&message).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }
}

/// Speaks version 3.8 without a password, and offers a screen.
pub(crate) async fn greeting(mut stream: DuplexStream, width: u16, height: u16) -> DuplexStream {
    stream.write_all(b"RFB 003.008\n").await.unwrap();
    let mut version = [0; 12];
    stream.read_exact(&mut version).await.unwrap();
    assert_eq!(&version, b"RFB 003.008\n");
    stream.write_all(&[1, 1]).await.unwrap();
    let mut chosen = [0; 1];
    stream.read_exact(&mut chosen).await.unwrap();
    assert_eq!(chosen, [1]);
    stream.write_all(&[0; 4]).await.unwrap();
    let mut shared = [0; 1];
    stream.read_exact(&mut shared).await.unwrap();
    let mut offer = [width, height].into_iter().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    // 32 bits, 24 of them colour, little end first, 255 of each colour, red at 16, green at 8, blue at 0.
    offer.extend([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]);
    offer.extend([0, 0, 0, 4]);
    offer.extend(b"test");
    // A client that refuses the size may have gone.
    let _gone = stream.write_all(&offer).await;
    stream
}

async fn read(mut reader: ReadHalf<DuplexStream>, tell: mpsc::UnboundedSender<FromClient>) {
    let zeroes = |length: usize| vec![0; length];
    while let Ok(kind) = reader.read_u8().await {
        let length = match kind {
            0 => 19,
            2 => 3,
            3 => 9,
            4 => 7,
            5 => 5,
            kind => panic!("a client says nothing of kind {kind}"),
        };
        let mut body = zeroes(length);
        reader.read_exact(&mut body).await.unwrap();
        let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let said = match kind {
            2 => {
                let mut encodings = zeroes(4 * usize::from(number(1)));
                reader.read_exact(&mut encodings).await.unwrap();
                continue;
            }
            3 => FromClient::Request { incremental: body[0] == 1 },
            4 => FromClient::Key {
                keysym: u32::from_be_bytes([body[3], body[4], body[5], body[6]]),
                down: body[0] == 1,
            },
            5 => FromClient::Pointer { x: number(1), y: number(3), buttons: body[0] },
            _ => continue,
        };
        if tell.send(said).is_err() {
            return;
        }
    }
}
