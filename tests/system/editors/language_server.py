"""`yaml-language-server` over its protocol, as an editor runs it."""

import json
import subprocess
import threading
from queue import Queue

WAIT = 20


class LanguageServer:
    """The server, on standard input and output. A file is opened by its text, with our schema in its first line."""

    def __init__(self, program, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            ["node", str(program), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.number = 0
        self.answers = Queue()
        self.published = {}
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        completion = {"completionItem": {"snippetSupport": False, "documentationFormat": ["markdown"]}}
        capabilities = {"textDocument": {"completion": completion, "hover": {"contentFormat": ["markdown"]}}}
        self.ask("initialize", processId=None, rootUri=folder.as_uri(), capabilities=capabilities)
        self.tell("initialized")
        self.tell(
            "workspace/didChangeConfiguration",
            settings={"yaml": {"schemaStore": {"enable": False}, "validate": True, "hover": True, "completion": True}},
        )

    def stop(self):
        self.process.kill()
        self.process.wait()

    def ask(self, method, **parameters):
        self.number += 1
        self._send({"id": self.number, "method": method, "params": parameters})
        while True:
            answer = self.answers.get(timeout=WAIT)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer.get("result")

    def tell(self, method, **parameters):
        self._send({"method": method, "params": parameters})

    def open(self, name, text):
        """Opens a file and returns its address."""
        uri = (self.folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)
        return uri

    def found(self, uri):
        """The messages of the diagnostics of a file."""
        with self.changed:
            assert self.changed.wait_for(lambda: uri in self.published, WAIT), "no diagnostics came"
            return [one["message"] for one in self.published[uri]]

    def complete(self, uri, line, column):
        """The labels of what may stand at a place."""
        place = {"line": line, "character": column}
        answer = self.ask("textDocument/completion", textDocument={"uri": uri}, position=place)
        return [item["label"] for item in answer["items"]]

    def hover(self, uri, line, column):
        place = {"line": line, "character": column}
        answer = self.ask("textDocument/hover", textDocument={"uri": uri}, position=place)
        return answer["contents"]["value"] if answer else ""

    def _send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _read(self):
        stream = self.process.stdout
        while line := stream.readline():
            length = 0
            while line.strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                line = stream.readline()
            message = json.loads(stream.read(length))
            if message.get("method") == "textDocument/publishDiagnostics":
                with self.changed:
                    self.published[message["params"]["uri"]] = message["params"]["diagnostics"]
                    self.changed.notify_all()
            elif "method" in message and "id" in message:
                # The server asks for settings or registers something: nothing is set beside what it was told.
                wanted = len(message["params"].get("items", []))
                self._send({"id": message["id"], "result": [None] * wanted or None})
            elif "id" in message:
                self.answers.put(message)
