// The handler of a shop in Express: node webhook.js
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const express = require('express');

const secret = process.env.ISIKUOTA_SECRET_KEY;
const folder = process.env.RECEIVED;
const app = express();
app.use('/webhook', express.raw({ type: 'application/json', limit: '2mb' }));

app.post('/webhook/isikuota', (req, res) => {
  const expected = crypto.createHmac('sha256', secret).update(req.body).digest('hex');
  const signature = req.headers['x-signature'] || '';
  if (signature.length !== expected.length || !crypto.timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) {
    return res.status(401).json({ error: 'Invalid signature' });
  }
  const file = path.join(folder, crypto.createHash('sha1').update(req.body).digest('hex'));
  if (fs.existsSync(file)) {
    return res.status(200).json({ status: 'already_processed' });
  }
  fs.writeFileSync(file, req.body);
  res.status(200).json({ status: 'ok' });
});

const server = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
