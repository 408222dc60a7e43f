use actix_http::ws::{Frame, Item};

use super::*;
use crate::vendor_http::REFUSAL_MAX;

#[test]
fn an_announced_length_above_the_bound_is_refused_before_the_frame_is_there() {
    let mut codec = BoundedCodec(ws::Codec::new().max_size(MAX_MESSAGE).client_mode());
    let mut header = BytesMut::from(&[0x81, 127][..]);
    assert!(matches!(codec.decode(&mut header), Ok(None)));
    header.extend_from_slice(&(1_u64 << 30).to_be_bytes());
    assert!(matches!(codec.decode(&mut header), Err(SocketError::TooLarge(length)) if length == 1 << 30));
}

#[test]
fn frames_up_to_the_bound_pass_whole() {
    let mut codec = BoundedCodec(ws::Codec::new().max_size(MAX_MESSAGE).client_mode());
    for length in [0, 1, 125, 126, 65_535, 65_536, MAX_MESSAGE] {
        let mut wire = BytesMut::new();
        let text = "x".repeat(length);
        ws::Codec::new().encode(ws::Message::Text(text.clone().into()), &mut wire).unwrap();
        let frame = codec.decode(&mut wire).unwrap();
        assert_eq!(frame, Some(Frame::Text(text.into())), "{length}");
    }
}

#[test]
fn fragments_become_one_message_with_control_frames_between() {
    let mut assembler = Assembler::default();
    let mut accept = |frame| assembler.accept(frame).unwrap();
    assert_eq!(accept(Frame::Continuation(Item::FirstText("[\"a\"".into()))), None);
    assert_eq!(accept(Frame::Ping("?".into())), Some(Incoming::Ping("?".into())));
    assert_eq!(accept(Frame::Continuation(Item::Continue(",".into()))), None);
    let whole = Some(Incoming::Text("[\"a\",{}]".into()));
    assert_eq!(accept(Frame::Continuation(Item::Last("{}]".into()))), whole);
    assert_eq!(accept(Frame::Text("next".into())), Some(Incoming::Text("next".into())));
}

#[test]
fn fragments_are_bounded_together() {
    let mut assembler = Assembler::default();
    let part = Bytes::from(vec![b'x'; MAX_MESSAGE / 2 + 1]);
    assert!(assembler.accept(Frame::Continuation(Item::FirstText(part.clone()))).is_ok());
    let error = assembler.accept(Frame::Continuation(Item::Continue(part))).unwrap_err();
    assert!(matches!(error, SocketError::TooLarge(_)));
}

#[test]
fn no_part_of_a_token_is_left_where_the_text_of_a_refusal_is_cut() {
    let connector = FeedConnector::new(&FeedSettings {
        proxy: None,
        url: "ws://feed.example/socket".parse().unwrap(),
        token: Secret::new("hidden-token".into()),
        extra_root_pem: None,
        reconnect_first: Duration::ZERO,
        reconnect_max: Duration::ZERO,
        ping_interval: Duration::ZERO,
    });
    let connector = connector.unwrap();
    for before in REFUSAL_MAX - 14..REFUSAL_MAX + 2 {
        let text =
            format!("{} hidden-token\n is  wrong {}", "é".repeat(before / 2), "x".repeat(2 * REFUSAL_MAX));
        let refusal = HandshakeError::Refused { status: 401, retry_after: None, text };
        let error = SendRequestError::Custom(Box::new(refusal), Box::new("handshake"));
        let HandshakeError::Refused { text, .. } = connector.explain(WsClientError::SendRequest(error))
        else {
            panic!("not refused")
        };
        assert!(text.len() <= REFUSAL_MAX && !text.contains("hid"), "{before}: {text}");
    }
}

/// A proxy, and the feed behind it, which refuses: the requests that both have seen, and what the attempt came to.
async fn through_a_proxy() -> (String, String, HandshakeError) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut requests = Vec::new();
        for answer in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy"] {
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).await.unwrap();
            requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    let proxy = crate::connection::proxy::FeedProxy { host: "127.0.0.1".into(), port, credentials: None };
    let settings = FeedSettings {
        proxy: Some(proxy),
        url: "ws://feed.invalid/socket".parse().unwrap(),
        token: Secret::new("hidden".to_owned()),
        extra_root_pem: None,
        reconnect_first: Duration::from_secs(1),
        reconnect_max: Duration::from_secs(1),
        ping_interval: Duration::from_secs(1),
    };
    let error = FeedConnector::new(&settings).unwrap().connect().await.err().unwrap();
    let [to_proxy, to_feed] = server.await.unwrap().try_into().unwrap();
    (to_proxy, to_feed, error)
}

#[test]
fn a_handshake_goes_through_the_tunnel_of_a_proxy_which_does_not_see_the_token() {
    let (to_proxy, to_feed, error) = actix_rt::System::new().block_on(through_a_proxy());
    assert!(to_proxy.starts_with("CONNECT feed.invalid:80 HTTP/1.1\r\n") && !to_proxy.contains("hidden"));
    assert!(to_feed.starts_with("GET /socket?token=hidden HTTP/1.1\r\n"), "{to_feed}");
    assert!(matches!(error, HandshakeError::Refused { status: 503, .. }), "{error}");
}
