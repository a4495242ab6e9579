-- A few rows, so that the later back-fills have something to do.
-- '!' is not a valid hash: nobody can log in as these users.
INSERT INTO "users" ("email", "name", "password_hash") VALUES
    ('mira@shop.example', 'Mira Holm', '!'),
    ('tobias@shop.example', 'Tobias O''Dell', '!'),
    ('yuki@shop.example', NULL, '!');

INSERT INTO "products" ("sku", "title", "price_cents") VALUES
    ('TEA-OOLONG-100', 'Oolong tea, 100 g', 1290),
    ('CUP-CLAY-02', 'Clay cup; set of two', 2450),
    ('SCALE-5KG', 'Baker''s scale; 5 kg', 3900);

INSERT INTO "orders" ("number", "user_id", "status", "placed_at")
SELECT o."number", u."id", o."status"::"OrderStatus", o."placed_at"::timestamp
FROM (VALUES
    ('S-1001', 'mira@shop.example', 'SHIPPED', '2025-01-08 10:15:00'),
    ('S-1002', 'mira@shop.example', 'PAID', '2025-01-12 18:40:00'),
    ('S-1003', 'tobias@shop.example', 'ON_HOLD', '2025-01-12 19:05:00'),
    ('S-1004', 'yuki@shop.example', 'PENDING', '2025-01-13 07:30:00')
) AS o("number", "email", "status", "placed_at")
JOIN "users" u ON u."email" = o."email"
ORDER BY o."number";

INSERT INTO "order_items" ("order_id", "product_id", "quantity")
SELECT o."id", p."id", i."quantity"
FROM (VALUES
    ('S-1001', 'TEA-OOLONG-100', 2),
    ('S-1001', 'CUP-CLAY-02', 1),
    ('S-1002', 'SCALE-5KG', 1),
    ('S-1003', 'TEA-OOLONG-100', 5),
    ('S-1004', 'CUP-CLAY-02', 3)
) AS i("number", "sku", "quantity")
JOIN "orders" o ON o."number" = i."number"
JOIN "products" p ON p."sku" = i."sku";
