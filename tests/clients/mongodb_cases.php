<?php
// What the PHP driver for MongoDB (libmongoc) sees in each case, as one JSON object on stdout: as in mongodb_cases.py,
// but one after the other, without a pool, and with the additional case `alone`: a login without appName, which is all
// that a driver needs that watches the server on the connection that it works on. Such a driver shows a refusal at once,
// whatever its code and serverSelectionTryOnce: to it, it is a login that has failed.
//
//     mongodb_cases.php mongodb HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

use MongoDB\Driver\{BulkWrite, Command, Manager, Query};

[, , $host, $port, $name, $password] = $argv;
$text = implode('', array_map(fn($n) => chr(0x21 + $n * 7919 % 94), range(0, 299_999)));

function url(string $user, string $secret, ?string $app): string
{
    global $host, $port;
    return "mongodb://$user:" . rawurlencode($secret) . "@$host:$port/$user?authSource=$user&directConnection=true"
        . ($app === null ? '' : "&appName=$app");
}

function attempt(callable $work, string $url, string $database): array
{
    try {
        return ['ok' => $work(new Manager($url), $database)];
    } catch (Throwable $error) {
        return ['code' => $error->getCode(), 'text' => $error->getMessage()];
    }
}

function login(Manager $manager, string $database): array
{
    $status = $manager->executeCommand($database, new Command(['connectionStatus' => 1]))->toArray()[0];
    return array_map(fn($user) => [$user->db, $user->user], $status->authInfo->authenticatedUsers);
}

function work(Manager $manager, string $database): string
{
    global $text;
    $manager->executeCommand($database, new Command(['drop' => 'work-php']));
    $write = new BulkWrite();
    $write->insert(['_id' => 1, 'text' => $text]);
    $manager->executeBulkWrite("$database.work-php", $write);
    return digest($manager->executeQuery("$database.work-php", new Query(['_id' => 1]))->toArray()[0]->text);
}

function batches(Manager $manager, string $database): array
{
    global $text;
    $manager->executeCommand($database, new Command(['drop' => 'batches-php']));
    $write = new BulkWrite();
    foreach (range(0, 39) as $n) {
        $write->insert(['_id' => $n, 'text' => substr($text, 0, 50_000 + $n)]);
    }
    $manager->executeBulkWrite("$database.batches-php", $write);
    $found = $manager->executeQuery("$database.batches-php", new Query([]))->toArray();
    return [array_sum(array_column($found, '_id')), digest(implode('', array_column($found, 'text')))];
}

function digest(string $text): string
{
    return strlen($text) . ' ' . hash('sha256', $text);
}

$own = url($name, $password, $name);
$seen = [
    'login' => attempt('login', $own, $name),
    'alone' => attempt('login', url($name, $password, null), $name),
    'work' => attempt('work', $own, $name),
    'batches' => attempt('batches', $own, $name),
    'wrong' => attempt('login', url($name, 'not the password', $name), $name),
    'other' => attempt('login', url('nobody-here', $password, $name), $name),
];
foreach (array_slice($argv, 6) as $pair) {
    [$case, $other] = explode('=', $pair);
    $seen[$case] = attempt('login', url($other, $password, $other), $other);
}
echo json_encode($seen), "\n";
