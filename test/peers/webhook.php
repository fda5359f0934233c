<?php
// The handler of a shop in plain PHP: php -S 127.0.0.1:0 webhook.php

$secret = getenv('ISIKUOTA_SECRET_KEY');
$folder = getenv('RECEIVED');

$rawBody = file_get_contents('php://input');
$signature = $_SERVER['HTTP_X_SIGNATURE'] ?? '';
header('Content-Type: application/json');

if (!hash_equals(hash_hmac('sha256', $rawBody, $secret), $signature)) {
    http_response_code(401);
    exit(json_encode(['error' => 'Invalid signature']));
}

$payload = json_decode($rawBody, true);
$key = sha1(($payload['event'] ?? '') . '|' . ($payload['data']['ref_id'] ?? $rawBody));
if (file_exists("$folder/$key")) {
    exit(json_encode(['status' => 'already_processed']));
}
file_put_contents("$folder/$key", $rawBody);
echo json_encode(['status' => 'ok']);
