export default function ({ parentElement, data, setTriggerValue }) {
  const tags = ["button", "input", "span", "progress"];
  const [button, input, status, bar] = tags.map((tag) => parentElement.querySelector(tag));
  const noun = { folder: "folder", zip: "zip file" }[data.kind];
  input.webkitdirectory = input.multiple = data.kind === "folder";
  input.accept = data.kind === "zip" ? ".zip" : "";
  button.textContent = data.is_here ? `Choose another ${noun}` : `Choose a ${noun}`;

  async function put(name, blob) {
    const cookie = /(?:^|; )_streamlit_xsrf=([^;]*)/.exec(document.cookie);
    const form = new FormData();
    form.append("file", blob, name);
    for (let attempt = 0; ; attempt++) {
      try {
        const headers = cookie ? { "X-Xsrftoken": decodeURIComponent(cookie[1]) } : {};
        const answer = await fetch(`${data.url}/${name}`, { method: "PUT", body: form, headers });
        if (answer.ok) return;
        const why = answer.status < 500 ? "" : " and could not keep it; there may be no room left on its disk";
        throw new Error(`the server answered ${answer.status}${why}`);
      } catch (error) {
        if (attempt === 2) throw error;
        await new Promise((resume) => setTimeout(resume, 500 * (attempt + 1)));
      }
    }
  }

  async function send(files) {
    const whole = new Blob(files);
    const list = files.map((file) => [file.webkitRelativePath || file.name, file.size]);
    if (files.length > data.max_files || whole.size > data.max_bytes) {
      const size = `${files.length.toLocaleString("en")} files and ${(whole.size / 1e9).toFixed(1)} GB`;
      throw new Error(`it has ${size}, more than allowed; see Limits`);
    }
    const choice = `${Date.now()}`;
    const megabytes = (bytes) => Math.round(bytes / 1e6).toLocaleString("en");
    for (let start = 0, number = 0; start < whole.size; start += data.part_bytes, number++) {
      status.textContent = `${megabytes(start)} of ${megabytes(whole.size)} MB`;
      bar.value = start / whole.size;
      await put(`${data.widget}.${choice}-${number}`, whole.slice(start, start + data.part_bytes));
    }
    await put(`${data.widget}.${choice}-list`, new Blob([JSON.stringify(list)]));
    return choice;
  }

  button.onclick = () => input.click();
  input.onchange = async () => {
    const files = [...input.files];
    if (!files.length) return;
    button.disabled = true;
    bar.hidden = false;
    try {
      setTriggerValue("sent", await send(files));
      status.textContent = "";
    } catch (error) {
      status.textContent = `This ${noun} could not be uploaded: ${error.message}.`;
    } finally {
      button.disabled = false;
      bar.hidden = true;
      input.value = "";
    }
  };
}
