// Words of alerts, evidence, milestones and devices, in English and in Chinese; {so} is where something of the API stands.

/** A line for each word: its name, English, Chinese. */
export const MORE = `
minutes|min|分钟
never|never|从未
since_then|since|自
case|Case|差异案件
notice|Notice|通知
price|Price|价格
rate|Exchange rate|汇率
day|Day|日期
quote|Quote|报价
withdrawn|withdrawn|已停用
channel_temperature|temperature|温度
channel_humidity|humidity|湿度
channel_battery|battery|电池
channel_light|illuminance|光照
channel_shock|shock|冲击
channel_weight|weight|重量
channel_tags_present|tags present|在场标签数
channel_pieces_present|pieces present|在场件数
channel_position|position|位置
channel_latitude|position|位置
channel_longitude|position|位置
channel_door_open|door|箱门
channel_power|power|功率
channel_energy|energy|电量
channel_speed|speed|速度
told_condition_breached|{channel} of lot {lot} in {asset} is {value}; allowed is {allowed}, beyond it for {long} in all|批次 {lot}（{asset}）的{channel}为 {value}；允许范围 {allowed}，累计超限 {long}
told_condition_over|{channel} of lot {lot} in {asset} was beyond {allowed}|批次 {lot}（{asset}）的{channel}曾超出 {allowed}
told_condition_unknown|{channel} of lot {lot} in {asset} is not known for too long; allowed is {allowed}|批次 {lot}（{asset}）的{channel}长时间未知；允许范围 {allowed}
told_mkt_exceeded|Mean kinetic temperature of lot {lot} in {asset} is above what is allowed|批次 {lot}（{asset}）的平均动力学温度超限
told_mkt_uncertain|Mean kinetic temperature of lot {lot} in {asset} may be above what is allowed, for too much is not known|批次 {lot}（{asset}）的平均动力学温度可能超限，未知时间过长
told_source_silent|{source} in {asset} is silent without a plan; last heard {heard}|{asset} 的 {source} 意外失联；最后收到 {heard}
told_source_overdue|{source} in {asset} is overdue; last heard {heard}|{asset} 的 {source} 逾期未报；最后收到 {heard}
told_evidence_doubted|What {source} in {asset} says is doubted: {doubt}|{asset} 的 {source} 读数存疑：{doubt}
told_fence_entered|{asset} entered {fence}|{asset} 进入围栏 {fence}
told_fence_left|{asset} left {fence}|{asset} 离开围栏 {fence}
told_tamper_suspected|{source} in {asset} said two different things under number {sequence}, or signed falsely|{asset} 的 {source} 以同一序号 {sequence} 上报了不同内容，或签名不符
told_certificate_replaced|Somebody showed a certificate of {source} in {asset} that was replaced: its card was copied, or its key is somebody else's|有人出示了 {asset} 中 {source} 的已被替换的证书：存储卡可能被复制，或密钥已泄露
told_clock_doubted|The clock of {source} in {asset} is wrong: {doubt}|{asset} 的 {source} 时钟有误：{doubt}
told_goods_left|Goods of lot {lot} ({quantity} units, receipt {receipt}) left {asset} without a release|批次 {lot} 的货物（{quantity} 件，仓单 {receipt}）未经放行离开 {asset}
told_stock_short|{missing} of {quantity} units of lot {lot} (receipt {receipt}) are missing in {asset}|批次 {lot}（仓单 {receipt}）在 {asset} 缺少 {missing} 件，共 {quantity} 件
alert_open|open|未处理
alert_acknowledged|taken on|已受理
alert_escalated|escalated|已升级
alert_cleared|cleared|已解除
alert_pending|pending|待定
severity_critical|critical|严重
severity_warning|warning|警告
told_more|and {many} earlier causes|以及更早的 {many} 项原因
told_nothing|What it rested on is over.|其依据的情况已结束。
said_of_it|What happened|情况
to_the_inbox|Open these in the inbox|在收件箱中查看
only_of|Only alerts of facility {facility}.|仅显示授信额度 {facility} 的警报。
all_alerts|All alerts|全部警报
doubt_no_time|no time|无时间
doubt_simulated|simulated|模拟
doubt_estimated|estimated|估算
doubt_manual|entered by hand|人工输入
doubt_few_satellites|too few satellites|卫星过少
doubt_high_hdop|a poor constellation|定位精度差
doubt_power_on_value|the value of switching on|上电默认值
doubt_out_of_range|a value that cannot be|数值超出可能范围
doubt_clock_unset|the clock was not set|时钟未设置
doubt_spoofed|the receiver suspects spoofing|疑似欺骗
doubt_jammed|the receiver is jammed|受到干扰
doubt_no_fix|no fix|无定位
doubt_checksum_failed|a checksum failed|校验失败
doubt_sensor_gone|the sensor is gone|传感器缺失
doubt_not_reported|not reported|未上报
doubt_unknown_code|a code that nobody knows|未知代码
doubt_impossible_speed|impossible speed|速度不可能
doubt_frozen_position|the position does not move|位置冻结
doubt_stuck_value|the value does not move|数值卡滞
doubt_calibration_expired|the calibration has expired|校准过期
doubt_clock_backwards|the clock ran backwards|时钟倒退
doubt_backdated|the moment was reckoned back|时间为事后推算
doubt_backdated_roughly|the moment was reckoned back, and may be minutes off|时间为事后推算，误差可达数分钟以上
doubt_week_rollover|the receiver's weeks have rolled over|接收机周数翻转
doubt_before_fitted|measured before it was fitted|早于安装
doubt_in_the_future|measured in the future|测量时间在未来
last_heard|Last heard|最后收到
heard_in_time|in time|按时
never_heard|never heard|从未收到
missed|overdue or silent|逾期或失联
with_gaps|with gaps|有缺失
battery|Battery|电池
of_itself|Says of itself|自报情况
connected|connected|在线
not_connected|not connected|离线
said_nothing|has said nothing yet|尚未自报
signed_of|Signed of committed|已签名/已入账
completeness|Complete|完整性
received|received|已收到
thinned_count|thinned|已精简
lost_count|lost|丢失
lost_at_least|lost at least|至少丢失
no_gap_seen|no gap seen|未见缺失
refused_count|of these refused by the device|其中设备未能保存
unsure_not_said|the device has not said what it holds|设备未自报其存量
unsure_ended_epoch|how far an ended epoch went is not known|已结束纪元的末尾未知
unsure_broken|some of what a broken spool has lost or thinned may have come before|损坏存量中丢失或精简的读数，部分可能此前已到
still_spooled|still with the device|仍在设备中
timeline|Timeline|时间线
not_met|Not met|未达成
paid_out|Paid out|已放款
expires|Expires|到期
milestone_pending|pending|待定
milestone_waived|waived|已豁免
milestone_waiting|waiting|等待中
milestone_met|met|已达成
milestone_released|paid out|已放款
milestone_held|held|已暂停
milestone_retracted|retracted|已撤回
milestone_in_question|in question|存疑
milestone_expired|expired|已到期
proof_event|event|事件
proof_reading|reading|读数
proof_notice|notice|通知
proof_book|the book:|台账：
proof_receipt|receipt|仓单
proof_value|value:|数值：
proof_milestone|milestone|里程碑
ages|Age of evidence|证据时效
age|Age|已过时间
age_limits|Limits of age|时效限值
age_not_asked|the policy asks for none|政策未规定
newest_evidence|Newest good evidence|最新有效证据
counts_as|Counts as|认定为
fresh|fresh|新鲜
ageing|ageing|老化
stale|stale|过期
not_asked|counts at any age|不限时效
dark_now|dark as planned just now|当前计划静默
no_evidence|nothing good of|无有效证据：
reading_of|reading {sequence} of {device}, epoch {epoch}, in {asset}|{asset} 的 {device}，纪元 {epoch}，读数 {sequence}
fix_of|good fix of {asset}|{asset} 的有效定位
amount_of|Item|项目
how_many|How many there are, and who says so|数量及其来源
says|Who says|来源
book|The book|台账
entered|as it was entered|登记数量
all_claimed|all of it is claimed|全部有效
let_out_many|{many} of it released for delivery|其中 {many} 已放行
not_electronic|not an electronic receipt of this register|非本登记簿的电子仓单
held_by|Receipt, stock and count together|仓单、库存与盘点综合
lacking|missing by case|缺失，案件
nobody_counted|nobody has counted|未曾盘点
last_counted|stock system or counter last heard of|库存系统或盘点最后于
stock_count|Count of the stock system|库存系统盘点
machine|Machine in|设备：
held_valid|pledged to the lender and in force|已质押予贷款人且有效
held_unknown|nobody has issued the receipt|仓单未签发
held_unpledged|the receipt is pledged to nobody|仓单未质押
held_elsewhere|the receipt is pledged to somebody else|仓单质押予他人
held_frozen|the receipt is frozen|仓单已冻结
held_lost|the receipt is lost|仓单已挂失
held_ended|the receipt is at its end|仓单已终结
price_agreed|agreed price of {sku}, in the book|台账约定价格：{sku}
price_quoted|series {series}, quote of {date}|价格序列 {series}，{date} 报价
for_each|for each|每
no_price|no price|无价格
at_most_cost|at most its cost, {cost} for {per}|不超过成本：每 {per} 件 {cost}
nolv|net orderly liquidation value {share}, until {until}|净有序清算价值 {share}，有效期至 {until}
advance_of|advance rate {share} for goods {class}, by policy {policy}|按政策 {policy}，{class}货物的垫款率为 {share}
no_policy|without terms|（无条款）
class_in_transit|in transit|在途
class_at_port|at a port|在港
class_bonded|in a customs zone|保税
class_warehouse|in a warehouse|在库
not_pledged_to_you|It is not pledged to you now, so how it stands is not shown.|该批次目前未质押予您，故不显示其状况。
step_price_stale|price too old|价格过旧
step_rate_stale|exchange rate too old|汇率过旧
step_appraisal|appraisal|评估
step_receipt|receipt|仓单
step_stock|stock count|库存盘点
step_shortfall|shortfall|短缺
step_evidence|evidence too old|证据过期
step_place|place|位置
step_condition|condition|状况
step_papers|papers|单证
step_age|age of goods|货龄
step_slow|slow to sell|滞销
step_concentration_sku|too much of one kind|品类集中
step_concentration_buyer|too much for one buyer|买方集中
step_concentration_country|too much in one country|国家集中
step_concentration_vessel|too much on one vessel|船舶集中
step_concentration_warehouse|too much in one warehouse|仓库集中
step_condition_loss|loss by condition|状况损失
step_evidence_ageing|ageing evidence|证据老化
step_age_haircut|haircut for age|货龄折扣
step_sell_through|haircut for sales|销售折扣
step_fx_haircut|haircut for exchange|汇率折扣
step_volatility|haircut for swings|波动折扣
step_lot_haircut|haircut of the lot|批次折扣
what|What|内容
change|change|变动
about|About|对象
happened|It happened|发生时间
recorded|Recorded|记录时间
entry_of|Entry of the journal|日志条目
stands|Stands|仍有效
taken_back|taken back by later news|已被后续信息撤回
replaces|In the stead of|取代
because|Because of|缘由
late_reading|a late reading|迟到读数
amended_book|an amendment of the book|台账修订
said_by|What said it|由何得知
said_by_none|No reading that you may see said it: time alone has, a person, or something else of the journal.|并非由您可见的读数得知：由时间推移、人员或日志中的其他内容得知。
sequence|Number of the reading|读数序号
sequences|Sequences of the payload|报文序号范围
received_at|Received at|接收时间
content|What it says|所述内容
opened|Opened|立案
closed|Closed|结案
count_due|Count due|盘点期限
claimed|Claimed|仓单主张
in_stock|In stock|库存
counted|Counted|已盘点
by_sender|Sender|发送方
classifier|Classifier|分类
fix_at|Fix|定位时间
case_goods_left|goods left|货物离开
case_stock_below_receipts|less in stock than receipts claim|库存低于仓单
case_count_below|a count found less|盘点不足
case_pieces_below|fewer pieces than there should be|件数不足
case_weight_below|less weight than there should be|重量不足
case_door_out_of_hours|door open out of hours|非营业时间开门
case_uncounted|not counted for too long|久未盘点
case_misplaced|in another place|位置不符
`;
