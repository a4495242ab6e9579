const { DataSource } = require("typeorm");

module.exports.default = new DataSource({
  type: "postgres",
  url: process.env.DATABASE_URL,
  migrations: ["migrations/*.js"],
});
