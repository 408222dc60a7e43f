// The stream of the service's status, and the watch over it: EventSource comes back by itself from a closed connection,
// but neither from one that is silent nor after an answer that it does not like.

/** The service sends every second: after three without a word the numbers are no longer live. */
const SILENCE_MS = 3000;
/** A stream that has said nothing for so long is opened anew. */
const REOPEN_MS = 5000;
/** How often the silence is looked at. */
const LOOK_MS = 250;

/** A moment by two clocks: one may rest while the machine sleeps, the other may be set. The greater span is taken. */
const moment = () => ({ steady: performance.now(), wall: Date.now() });
const since = ({ steady, wall }) => Math.max(performance.now() - steady, Date.now() - wall);

/** Follows the stream at `url`: each status goes to `onStatus`; in a silence `onSilence` gets its length, repeatedly. */
export function follow(url, onStatus, onSilence) {
  let source = null;
  let opened = moment();
  let heard = moment();

  function open() {
    source?.close();
    opened = moment();
    source = new EventSource(url);
    source.onmessage = ({ data }) => {
      onStatus(JSON.parse(data));
      heard = moment(); // not if the status could not be shown
    };
  }

  function look() {
    const silence = since(heard);
    if (silence < SILENCE_MS) return;
    onSilence(silence / 1000);
    if (Math.min(silence, since(opened)) > REOPEN_MS) open();
  }

  open();
  setInterval(look, LOOK_MS);
  document.addEventListener('visibilitychange', look);
}
