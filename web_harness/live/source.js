// Where pictures come from: a camera, or a video file. Each frame that the browser shows, with its time.

const CAMERA = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };

// Why there is no picture; `kind` says it in one word, for the page's own words.
export class SourceError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

export class Source {
  // `onFrame(timeUs)` is called while the frame of that time is what `video` shows, `onEnd()` when a file has ended, and
  // `onLost()` when a camera is gone.
  constructor(video, { onFrame, onEnd, onLost }) {
    Object.assign(this, { video, onFrame, onEnd, onLost });
    this.kind = null;
    this.stream = null;
    this.facing = "environment";
    this.cameras = [];
    this.turns = 0;
    this.shown = null;
    this.missed = this.missedBefore = this.droppedBefore = 0;
    video.addEventListener("ended", () => this.kind === "file" && this.onEnd());
  }

  // Frames that came, and that this page never saw.
  get dropped() {
    return this.missed + Math.max(0, this.droppedEver - this.droppedBefore);
  }

  get droppedEver() {
    return this.video.getVideoPlaybackQuality?.().droppedVideoFrames ?? 0;
  }

  // Whether what is shown is to be mirrored: people expect that of a camera that looks at them.
  get isMirrored() {
    return this.kind === "camera" && this.stream.getVideoTracks()[0].getSettings().facingMode === "user";
  }

  get hasOther() {
    return this.kind === "camera" && this.cameras.length > 1;
  }

  get size() {
    return { width: this.video.videoWidth, height: this.video.videoHeight };
  }

  // Whether there is a frame to draw: of a video that has none yet, `drawImage` draws nothing, and says nothing.
  get hasFrame() {
    return this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
  }

  async openCamera() {
    const turn = this.stop();
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new SourceError("insecure", "no camera for a page that isn't encrypted");
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...CAMERA, ...this.choice() } });
    } catch (error) {
      const kinds = { NotAllowedError: "refused", SecurityError: "refused", NotFoundError: "none" };
      const busy = { NotReadableError: "busy", AbortError: "busy" };
      throw new SourceError({ ...kinds, ...busy }[error.name] ?? "none", error.message || error.name);
    }
    if (turn !== this.turns) {
      for (const track of stream.getTracks()) track.stop();
      throw new SourceError("overtaken", "something else was opened meanwhile");
    }
    this.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => this.stream === stream && this.onLost());
    const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    this.cameras = devices.filter((each) => each.kind === "videoinput");
    this.video.srcObject = stream;
    await this.begin("camera");
  }

  // The other camera: the one on the other side where they say which that is, else the next.
  async turn() {
    const { facingMode, deviceId } = this.stream.getVideoTracks()[0].getSettings();
    if (facingMode) {
      this.facing = facingMode === "user" ? "environment" : "user";
      this.device = null;
    } else {
      const at = this.cameras.findIndex((each) => each.deviceId === deviceId);
      this.device = this.cameras[(at + 1) % this.cameras.length].deviceId;
    }
    await this.openCamera();
  }

  async openFile(file) {
    const turn = this.stop();
    this.address = URL.createObjectURL(file);
    this.video.src = this.address;
    try {
      await this.begin("file");
    } catch (error) {
      if (turn === this.turns) this.stop();
      throw new SourceError("unplayable", error.message || error.name);
    }
    if (!this.video.videoWidth) {
      this.stop();
      throw new SourceError("unplayable", "no picture in it");
    }
  }

  pause() {
    this.look(false);
    this.video.pause();
  }

  // Go on, or begin again where a file has ended.
  async resume() {
    this.look(true);
    await this.video.play();
  }

  // Whether anybody looks: frames that come while nobody does aren't missed.
  look(isLooking) {
    if (isLooking) {
      this.shown = null;
      this.missed = this.missedBefore;
      this.droppedBefore = this.droppedEver;
    } else {
      this.missedBefore = this.dropped;
    }
  }

  // What is shown ends here; the number of the turn that begins.
  stop() {
    this.turns += 1;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.kind = null;
    this.video.pause();
    this.video.srcObject = null;
    if (this.address) {
      this.video.removeAttribute("src");
      URL.revokeObjectURL(this.address);
      this.address = null;
    }
    return this.turns;
  }

  choice() {
    return this.device ? { deviceId: { exact: this.device } } : { facingMode: { ideal: this.facing } };
  }

  async begin(kind) {
    this.kind = kind;
    this.missedBefore = 0;
    this.look(true);
    // Listened for first: the first frame may be shown before the promise of `play` is kept.
    this.listen(this.turns);
    await this.video.play();
  }

  listen(turn) {
    if (this.video.requestVideoFrameCallback) {
      const next = () => this.video.requestVideoFrameCallback((now, about) => {
        if (turn !== this.turns) return;
        next();
        if (this.shown !== null) this.missed += Math.max(0, about.presentedFrames - this.shown - 1);
        this.shown = about.presentedFrames;
        this.onFrame(this.kind === "file" ? Math.round(about.mediaTime * 1e6) : Math.round((about.captureTime ?? now) * 1e3));
      });
      next();
      return;
    }
    // Older browsers tell of no frames: what is shown at each of the screen's own is taken, if it is another.
    let last = -1;
    const look = (now) => {
      if (turn !== this.turns) return;
      requestAnimationFrame(look);
      if (this.video.paused || this.video.currentTime === last) return;
      last = this.video.currentTime;
      this.onFrame(this.kind === "file" ? Math.round(last * 1e6) : Math.round(now * 1e3));
    };
    requestAnimationFrame(look);
  }
}
