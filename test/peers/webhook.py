# The handler of a shop in Flask: python3 webhook.py
import hashlib
import hmac
import os

from flask import Flask, jsonify, request
from werkzeug.serving import make_server

app = Flask(__name__)
SECRET = os.environ["ISIKUOTA_SECRET_KEY"]
FOLDER = os.environ["RECEIVED"]


@app.route("/webhook/isikuota", methods=["POST"])
def webhook():
    raw_body = request.get_data()
    expected = hmac.new(SECRET.encode(), raw_body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-Signature", "")):
        return jsonify({"error": "Invalid signature"}), 401
    file = os.path.join(FOLDER, hashlib.sha1(raw_body).hexdigest())
    if os.path.exists(file):
        return jsonify({"status": "already_processed"}), 200
    with open(file, "wb") as f:
        f.write(raw_body)
    return jsonify({"status": "ok"}), 200


server = make_server("127.0.0.1", 0, app, threaded=True)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
