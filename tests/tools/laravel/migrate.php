<?php
// What `artisan migrate` does, without the rest of Laravel.
use Illuminate\Database\Capsule\Manager;
use Illuminate\Database\Migrations\DatabaseMigrationRepository;
use Illuminate\Database\Migrations\Migrator;
use Illuminate\Filesystem\Filesystem;

require "Illuminate/Database/autoload.php";
require "Illuminate/Filesystem/autoload.php";

$url = parse_url(getenv("DATABASE_URL"));
$manager = new Manager;
$manager->addConnection([
    "driver" => "pgsql",
    "host" => $url["host"],
    "port" => $url["port"],
    "database" => substr($url["path"], 1),
    "username" => $url["user"],
    "schema" => "public",
    "charset" => "utf8",
]);
$manager->setAsGlobal(); // for the migrations
$databases = $manager->getDatabaseManager();
$history = new DatabaseMigrationRepository($databases, "migrations");
if (!$history->repositoryExists()) {
    $history->createRepository();
}
foreach ((new Migrator($history, $databases, new Filesystem))->run(["database/migrations"]) as $file) {
    echo "migrated $file\n";
}
