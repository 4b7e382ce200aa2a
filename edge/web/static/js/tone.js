// Two sounds that cannot be mistaken: a short high one for taken, a low double one for an error.
let context = null;

function beep(frequency, startS, lengthS, volume) {
  const tone = context.createOscillator();
  const gain = context.createGain();
  tone.type = "square";
  tone.frequency.value = frequency;
  const at = context.currentTime + startS;
  gain.gain.setValueAtTime(volume, at);
  gain.gain.exponentialRampToValueAtTime(0.0001, at + lengthS);
  tone.connect(gain).connect(context.destination);
  tone.start(at);
  tone.stop(at + lengthS);
}

function play(parts) {
  try {
    context ||= new AudioContext();
    if (context.state === "suspended") context.resume();
    for (const part of parts) beep(...part);
  } catch { /* a till without sound still shows everything */ }
}

export const good = () => play([[1760, 0, 0.07, 0.05]]);
export const wrong = () => {
  document.body.dataset.errorTones = Number(document.body.dataset.errorTones || 0) + 1;
  play([[220, 0, 0.22, 0.16], [165, 0.26, 0.34, 0.16]]);
};
