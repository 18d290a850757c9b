//! What is told of a bridge that has had trouble.

use super::super::said::tests::queue;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_not_hidden_by_what_its_queues_say() {
    let mut board = Rc::into_inner(Board::shared()).expect("nobody else has it").into_inner();
    let said = |board: &Board| board.status().last_error.map(|error| error.text);
    board.turn(LinkState::Connected);
    assert_eq!(board.note_queues(vec![queue(Some("none here"))]).len(), 1);
    assert_eq!(said(&board).as_deref(), Some("none here"));
    tokio::time::advance(Duration::from_secs(1)).await;
    board.turn(LinkState::Connecting);
    board.last_error = Some(Trouble::new(Cause::Connection, "refused".to_owned()));
    tokio::time::advance(Duration::from_secs(1)).await;
    // What is known already is no news; what is new does not hide why there is no connection.
    assert_eq!(board.note_queues(vec![queue(Some("none here"))]).len(), 0);
    assert_eq!(board.note_queues(vec![queue(Some("no right"))]).len(), 1);
    assert_eq!(said(&board).as_deref(), Some("refused"));
    board.turn(LinkState::Connected);
    assert_eq!(said(&board).as_deref(), Some("no right"));
    let over = |board: &Board| board.status().last_error.and_then(|error| error.over);
    assert_eq!(over(&board), None, "the queue is still not carried");
    board.note_queues(vec![queue(None)]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(over(&board), Some(Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn why_there_was_no_connection_is_over_when_there_is_one() {
    let mut board = Rc::into_inner(Board::shared()).expect("nobody else has it").into_inner();
    let told = |board: &Board| board.status().to_json(&[]);
    board.turn(LinkState::Connecting);
    board.last_error = Some(Trouble::new(Cause::Connection, "nobody there".to_owned()));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(told(&board)["last_error_over_ms"], Value::Null);
    board.turn(LinkState::Connected);
    tokio::time::advance(Duration::from_secs(1)).await;
    board.turn(LinkState::Connected);
    let found = told(&board);
    assert_eq!(
        (&found["last_error_ms"], &found["last_error_over_ms"]),
        (&json!(4000), &json!(1000))
    );
    assert_eq!(found["last_error"], "nobody there");
    board.turn(LinkState::Paused);
    assert_eq!(told(&board)["last_error_over_ms"], json!(1000), "what was over stays so");
    board.turn(LinkState::Connecting);
    assert_eq!(told(&board)["last_error_over_ms"], Value::Null, "it is so again");
}

#[tokio::test(start_paused = true)]
async fn one_queue_that_is_not_carried_is_hidden_by_nothing_that_is_over() {
    let mut board = Rc::into_inner(Board::shared()).expect("nobody else has it").into_inner();
    let both = |first: Option<&str>, second: Option<&str>| {
        let named =
            |name: &str, why| CarriedStat { name: Name::new(name).expect("a name"), ..queue(why) };
        vec![named("first", first), named("second", second)]
    };
    let told = |board: &Board| {
        let error = board.status().last_error.expect("something has gone wrong");
        (error.text, error.age, error.over)
    };
    board.turn(LinkState::Connected);
    board.note_queues(both(Some("no first"), None));
    tokio::time::advance(Duration::from_secs(1)).await;
    board.note_queues(both(None, Some("no second")));
    tokio::time::advance(Duration::from_secs(1)).await;
    board.note_queues(both(None, None));
    // Soon it is so again, for the same reason. It lasts, and what was told later does not.
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(board.note_queues(both(Some("no first"), None)).len(), 1);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(told(&board), ("no first".to_owned(), Duration::from_secs(3), None));
    // A connection that was lost for a moment does not hide it either.
    board.turn(LinkState::Connecting);
    board.last_error = Some(Trouble::new(Cause::Connection, "cut".to_owned()));
    assert_eq!(told(&board).0, "cut");
    board.turn(LinkState::Connected);
    assert_eq!(told(&board).0, "no first");
    board.note_queues(both(None, None));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        told(&board),
        ("cut".to_owned(), Duration::from_secs(1), Some(Duration::from_secs(1)))
    );
}
